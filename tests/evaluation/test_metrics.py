"""Compare the metrics with independently computed values."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fashion, small_model

from cvae_cli.data.batches import Batches
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.evaluate import evaluate_model
from cvae_cli.evaluation.features import fashion_cnn, load_extractor, picture_cnn
from cvae_cli.evaluation.features.fashion_cnn import FashionCNN, load_fashion_cnn
from cvae_cli.evaluation.features.picture_cnn import PictureCNN
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.metrics.neighbours import Coverage, Density, Precision, Recall
from cvae_cli.evaluation.metrics.reconstruction import closeness, psnr, published_ssim, squared_error, ssim
from cvae_cli.evaluation.streams import PictureBatch, ReconstructionBatch, SampleBatch
from cvae_cli.models.tensors import load_weights
from cvae_cli.pictures.pixels import to_float

CPU = torch.device("cpu")


@pytest.fixture
def images() -> torch.Tensor:
    return to_float(torch.from_numpy(fashion("test", 40).images))


@pytest.mark.parametrize("name", ["fashion", "pictures"])
def test_features_of_a_few_pictures_at_a_time_are_those_of_the_network_as_it_was_trained(name: str) -> None:
    side = 28 if name == "fashion" else 64
    pictures = torch.randint(0, 256, (40, 3, side, side), dtype=torch.uint8)
    extractor = load_extractor(name, CPU)
    trained = FashionCNN() if name == "fashion" else PictureCNN()
    load_weights(trained, Path(fashion_cnn.WEIGHTS if name == "fashion" else picture_cnn.WEIGHTS))
    with torch.no_grad():
        expected = trained.eval()(pictures)
    torch.testing.assert_close(torch.cat(list(extractor.in_chunks(pictures))), expected, rtol=1e-4, atol=1e-5)


def test_squared_error_is_summed_and_psnr_is_its_logarithm(images: torch.Tensor) -> None:
    others = (images + 0.1).clamp(0, 1)
    expected = [((a - b) ** 2).sum() for a, b in zip(images.numpy(), others.numpy(), strict=True)]
    error = squared_error(images, others)
    np.testing.assert_allclose(error, expected, rtol=1e-5)
    np.testing.assert_allclose(psnr(images, others), [10 * math.log10(784 / e) for e in expected], rtol=1e-5)


def test_ssim_is_one_for_the_same_and_each_image_stands_alone(images: torch.Tensor) -> None:
    images = images[:8]
    noisy = (images + 0.2 * torch.randn_like(images)).clamp(0, 1)
    for compute in (ssim, published_ssim):
        torch.testing.assert_close(compute(ReconstructionBatch(images, images)), torch.ones(8))
        together = compute(ReconstructionBatch(images, noisy))
        pairs = zip(images, noisy, strict=True)
        alone = torch.cat([compute(ReconstructionBatch(a[None], b[None])) for a, b in pairs])
        torch.testing.assert_close(together, alone)
        assert (together < 0.95).all()


@pytest.mark.parametrize(("channels", "size"), [(1, 28), (3, 16), (3, 11)])
def test_published_ssim_is_that_of_scikit_image_and_the_other_has_the_border_too(channels: int, size: int) -> None:
    from skimage.metrics import structural_similarity

    random = torch.Generator().manual_seed(0)
    images = torch.rand(5, channels, size, size, generator=random)
    images = torch.nn.functional.avg_pool2d(images, 3, stride=1, padding=1)  # smooth, as pictures are
    others = (images + 0.1 * torch.randn(images.shape, generator=random)).clamp(0, 1)
    batch = ReconstructionBatch(images, others)

    def similarity(a: torch.Tensor, b: torch.Tensor) -> tuple[float, np.ndarray]:
        wang = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1.0}
        return structural_similarity(a.numpy(), b.numpy(), channel_axis=0, full=True, **wang)

    pairs = [similarity(a, b) for a, b in zip(images, others, strict=True)]
    np.testing.assert_allclose(published_ssim(batch), [value for value, _ in pairs], atol=1e-5)  # without the border
    within = batch.ssim_map[..., 5 : size - 5, 5 : size - 5]
    np.testing.assert_allclose(
        within, np.stack([full for _, full in pairs])[..., 5 : size - 5, 5 : size - 5], atol=1e-4
    )
    torch.testing.assert_close(ssim(batch), batch.ssim_map.mean((1, 2, 3)))
    assert batch.ssim_map.shape == images.shape
    assert not torch.allclose(ssim(batch), published_ssim(batch), atol=1e-3)


def test_pictures_without_a_whole_window_have_no_ssim() -> None:
    for size, scores in {5: set(), 6: {"ssim"}, 10: {"ssim"}, 11: {"ssim", "ssim-wang"}}.items():
        images = torch.rand(2, 3, size, size)
        assert closeness(images, images.flip(0)).keys() == {"mse", "mse_per_pixel", *scores}


def test_bound_is_the_models_and_does_not_depend_on_the_batch() -> None:
    model, data = small_model(), fashion("test", 40)
    one, other = (evaluate_bound(model, Batches(data, batch_size=size, device=CPU)) for size in (7, 40))
    torch.testing.assert_close(one.rate, other.rate, rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(one.distortion, other.distortion, rtol=1e-5, atol=1e-3)


def test_classifier_recognises_real_pictures() -> None:
    data = fashion("test", 200)
    pictures = torch.from_numpy(data.images).permute(0, 3, 1, 2)
    right = load_fashion_cnn(CPU).classify(pictures).argmax(1) == torch.from_numpy(data.conditions.indices)
    assert right.double().mean() > 0.9


def test_accuracy_is_the_share_of_pictures_that_show_what_was_asked_for() -> None:
    data = fashion("test", 50)
    pictures = torch.from_numpy(data.images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    seen = load_fashion_cnn(CPU).classify(pictures).argmax(1)
    shown, right = data.conditions.indices, 0
    metric = catalog.find_metric("accuracy")(Context(CPU))
    for batches, asked in enumerate((np.arange(50), np.roll(np.arange(50), 1)), start=1):
        texts = [data.conditions.text(row) for row in asked.tolist()]
        metric.update(SampleBatch(PictureBatch(pictures), PictureBatch(pictures), texts))
        right += int((seen.numpy() == shown[asked]).sum())
        assert metric.compute() == right / (50 * batches)
    assert 45 < right < 60  # nearly all of the first, and few of the others


def test_frechet_distance_is_the_formula_on_the_features() -> None:
    """Compute Heusel et al. 2017, eq. 6, with numpy on the same pictures."""
    model, data = small_model("dense-modulate"), fashion("test", 150)
    scores = evaluate_model(model, data, ["fid-fashion"], context=Context(CPU, Settings(seed=1)))
    drawn = model.sample(torch.from_numpy(data.conditions.indices), seed=1).mul(255).round().to(torch.uint8)
    real = torch.from_numpy(data.images).permute(0, 3, 1, 2)
    network = load_extractor("fashion", CPU).network
    a, b = (network(pictures.expand(-1, 3, -1, -1)).double().numpy() for pictures in (real, drawn))
    one, other = np.cov(a, rowvar=False), np.cov(b, rowvar=False)
    trace_of_root = np.sqrt(np.linalg.eigvals(one @ other).real.clip(0)).sum()
    expected = np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(one) + np.trace(other) - 2 * trace_of_root
    assert scores.scores["fid-fashion"] == pytest.approx(expected, rel=1e-3)


def test_a_distance_needs_twenty_pictures_a_feature() -> None:
    model, data, context = small_model(), fashion("test", 1), Context(CPU)
    said = {
        n: list(catalog.find_metric("fid-fashion").warnings(model, replace(data, rows=np.zeros(n, int)), context))
        for n in (128, 129, 2559, 2560)
    }
    assert [len(warnings) for warnings in said.values()] == [1, 1, 1, 0]
    assert "fewer pictures (128) than features (128)" in said[128][0]
    assert "of 2,559 pictures is higher than of more: its 128 features need 2,560" in said[2559][0]


def test_real_pictures_are_nearer_to_each_other_than_an_untrained_models() -> None:
    from torchmetrics.image.fid import FrechetInceptionDistance

    distance = FrechetInceptionDistance(feature=load_fashion_cnn(CPU), antialias=False)
    train, test = (torch.from_numpy(fashion(split, 200).images).permute(0, 3, 1, 2) for split in ("train", "test"))
    distance.update(train.expand(-1, 3, -1, -1), real=True)
    distance.update(test.expand(-1, 3, -1, -1), real=False)
    untrained = evaluate_model(small_model(), fashion("test", 200), ["fid-fashion"])
    assert distance.compute() < 0.2 * untrained.scores["fid-fashion"]


def test_model_of_other_pictures_is_refused() -> None:
    data = fashion("test", 4)
    with pytest.raises(UsageError, match="draws 28x28 grey pictures"):
        evaluate_model(small_model(), replace(data, pixels=data.pixels[:, :14, :14]), ["mse"])


def test_unknown_metric_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match='Did you mean "ssim"'):
        catalog.find_metric("sssim")


def test_neighbours_know_real_pictures_copies_and_strangers() -> None:
    scores: dict[str, dict[str, float]] = {}
    real = torch.from_numpy(fashion("train", 100).images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    other = torch.from_numpy(fashion("test", 100).images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    noise = torch.randint(0, 256, (100, 3, 28, 28), dtype=torch.uint8)
    same = other[:1].expand(100, -1, -1, -1)
    for name, drawn in {"real": real, "copies": same, "noise": noise}.items():
        context = Context(CPU, dataset="fashion-mnist")
        metrics = [metric(context) for metric in (Precision, Recall, Density, Coverage)]
        batch = SampleBatch(PictureBatch(drawn), PictureBatch(other), [""] * 100)
        for metric in metrics:
            metric.update(batch)
        scores[name] = {metric.name: metric.compute() for metric in metrics}
    assert scores["real"]["recall"] > 0.6
    assert scores["real"]["coverage"] > 0.6
    assert scores["real"]["precision"] > 0.6
    assert 0.7 < scores["real"]["density"] < 1.3
    assert scores["copies"]["precision"] == 1
    assert scores["copies"]["recall"] < 0.1
    assert scores["copies"]["coverage"] < 0.1
    assert scores["noise"]["coverage"] < 0.1
    assert scores["noise"]["precision"] < 0.1
    assert scores["noise"]["density"] < 0.1
