"""The metrics equal those of the packages that researchers use, on the same pictures, features and weights.

The peers are torch-fidelity (FID, KID, inception score, precision, recall), prdc (density, coverage), scikit-image
(PSNR, SSIM; see also test_metrics.py) and lpips. The networks have random weights.
"""

import hashlib
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import fashion
from torch import Tensor, nn

from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import EXTRACTORS, load_extractor
from cvae_cli.evaluation.metrics import catalog, inception_score, kernel, neighbours
from cvae_cli.evaluation.metrics.frechet import distance_of_gaussians, frechet_distance
from cvae_cli.evaluation.metrics.neighbours import neighbour_scores
from cvae_cli.evaluation.metrics.reconstruction import psnr
from cvae_cli.evaluation.streams import PictureBatch, ReconstructionBatch, SampleBatch
from cvae_cli.weights.registry import REGISTRY, AddressWeights

CPU = torch.device("cpu")


def register(name: str, tensors: dict[str, Tensor], home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Write a file of weights where the published one would be, and register it in place of that."""
    monkeypatch.setenv("CVAE_HOME", str(home))
    path = home / "weights" / f"{name}.pth"
    path.parent.mkdir(parents=True)
    torch.save(tensors, path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    about = {"use": "", "licence": "", "note": "", "url": f"https://localhost/{name}.pth"}
    entry = AddressWeights(name=name, size=path.stat().st_size, sha256=digest, **about)
    monkeypatch.setitem(REGISTRY, name, entry)
    return path


@pytest.fixture(scope="module")
def features() -> tuple[Tensor, Tensor]:
    """Features of 180 and 160 pictures, generated and real."""
    network = load_extractor("pictures", CPU).network
    pictures = [torch.from_numpy(fashion(*each).images) for each in (("train", 180), ("test", 160))]
    generated, real = (network(each.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)) for each in pictures)
    return generated, real


def test_frechet_distances_are_those_of_torch_fidelity(features: tuple[Tensor, Tensor]) -> None:
    from torch_fidelity.metric_fid import fid_features_to_statistics, fid_statistics_to_metric

    generated, real = features
    for some in (slice(None), slice(20)):  # more and fewer pictures than the 128 features
        sides = generated[some].double(), real[some].double()
        theirs = fid_statistics_to_metric(*map(fid_features_to_statistics, sides), verbose=False)
        ours = frechet_distance(generated[some], real[some])
        assert ours == pytest.approx(theirs["frechet_inception_distance"], rel=1e-4)
        assert frechet_distance(real[some], real[some]) < 1e-3
    nothing = torch.zeros(3, dtype=torch.double), torch.zeros(3, 3, dtype=torch.double)
    assert distance_of_gaussians(*nothing, torch.ones(3).double(), torch.eye(3).double()) == pytest.approx(6)


def test_frechet_distance_has_a_closed_form_and_no_origin() -> None:
    """Of vectors and their multiples the means and the deviations differ: d = (1 - c)^2 (|mean|^2 + trace)."""
    random = torch.Generator().manual_seed(0)
    some = torch.randn(50, 4, dtype=torch.double, generator=random) + 3
    expected = (some.mean(0).square().sum() + some.var(0).sum()).item() * (1 - 2.5) ** 2
    assert frechet_distance(some, 2.5 * some) == pytest.approx(expected, rel=1e-9)
    far = some + 10_000  # in float32 the covariances would be noise
    assert frechet_distance(far, 2.5 * some + 10_000) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("rows", [7, 1000])
def test_neighbours_are_those_of_torch_fidelity_and_prdc(
    features: tuple[Tensor, Tensor], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    from prdc import compute_prdc
    from torch_fidelity.metric_prc import calculate_precision_recall_full

    monkeypatch.setattr(neighbours, "_ROWS", rows)
    generated, real = features
    ours = neighbour_scores(generated, real)
    precision, recall = calculate_precision_recall_full(generated.double(), real.double())
    theirs = compute_prdc(real.double().numpy(), generated.double().numpy(), nearest_k=5)
    assert (ours["precision"], ours["recall"]) == pytest.approx((precision, recall), abs=1e-6)
    assert (ours["density"], ours["coverage"]) == pytest.approx((theirs["density"], theirs["coverage"]), abs=1e-6)
    assert all(0.3 < value < 1.5 for value in ours.values())


def test_neighbours_of_points_on_a_line_are_those_by_hand() -> None:
    """Sets with fewer rows than neighbours, and distances that equal a radius."""
    real = torch.tensor([[0.0], [10.0]])  # each reaches as far as the other, 10
    beyond = neighbour_scores(torch.tensor([[20.0], [30.0]]), real)  # 20 lies at the edge of one neighbourhood
    assert beyond == {"precision": 0.5, "recall": 0.5, "density": 0, "coverage": 0}
    between = neighbour_scores(torch.tensor([[0.0], [5.0]]), real)
    assert between == {"precision": 1, "recall": 1, "density": pytest.approx(3 / 5 / 2), "coverage": 1}


def test_kernel_distances_are_those_of_torch_fidelity(
    features: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """On the same subsets, here 5 of 100 pictures."""
    from torch_fidelity.metric_kid import kid_features_to_metric

    monkeypatch.setattr(kernel, "SUBSETS", 5)
    monkeypatch.setattr(kernel, "SUBSET_SIZE", 100)
    generated, real = features
    metric = catalog.find_metric("kid:pictures")(Context(CPU))
    metric.sets.generated.load(generated)
    metric.sets.real.load(real)
    settings = {"kid_subsets": 5, "kid_subset_size": 100, "verbose": False}
    theirs = kid_features_to_metric(generated.double(), real.double(), **settings)
    assert metric.compute() == pytest.approx(theirs["kernel_inception_distance_mean"], rel=1e-3)
    assert metric.deviation() == pytest.approx(theirs["kernel_inception_distance_std"], rel=1e-3)
    assert capfd.readouterr() == ("", "")  # where torch-fidelity would show a bar
    assert metric.details() == {
        "kid:pictures deviation over subsets": metric.deviation(),
        "kid:pictures pictures a subset": 100,
    }


def test_inception_scores_are_those_of_torch_fidelity(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here on the classes of a small network, for more features than are classified at once."""
    from torch_fidelity.metric_isc import isc_features_to_metric

    monkeypatch.setitem(EXTRACTORS, "inception", EXTRACTORS["fashion"])
    metric = catalog.find_metric("inception-score")(Context(CPU))
    rows = 3 * torch.rand(1203, 128, generator=torch.Generator().manual_seed(0))
    metric.sets.generated.load(rows)
    with torch.no_grad():
        theirs = isc_features_to_metric(metric.extractor.network.logits(rows))
    assert metric.compute() == pytest.approx(theirs["inception_score_mean"], rel=1e-6)
    assert metric.deviation() == pytest.approx(theirs["inception_score_std"], rel=1e-6)
    assert metric.details() == {"inception-score deviation over splits": metric.deviation()}
    assert metric.deviation() > 1e-3
    monkeypatch.setattr(metric, "update_real", pytest.fail)  # real pictures have no part in it
    black = PictureBatch(torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    metric.update(SampleBatch(black, black, ["", ""]))


def test_published_scores_have_these_subsets_splits_and_seeds() -> None:
    from torch_fidelity.defaults import DEFAULTS

    theirs = [DEFAULTS[name] for name in ("kid_subsets", "kid_subset_size", "isc_splits")]
    assert theirs == [kernel.SUBSETS, kernel.SUBSET_SIZE, inception_score.SPLITS]
    assert kernel.SEED == inception_score.SEED == DEFAULTS["rng_seed"]
    said = {
        (generated, real): list(catalog.find_metric("kid").set_warnings(generated, real, Context(CPU)))
        for generated, real in ((999, 2000), (2000, 999), (1000, 1000))
    }
    few = "kid: 999 pictures are fewer than the 1,000 of a published subset: subsets have 999, and their deviation is"
    assert said == {(999, 2000): [f"{few} too small"], (2000, 999): [f"{few} too small"], (1000, 1000): []}


def pairs(size: int) -> tuple[Tensor, Tensor]:
    """Two smooth random pictures, and the same with noise; 3 channels."""
    random = torch.Generator().manual_seed(size)
    images = torch.rand(2, 3, size // 4, size // 4, generator=random)
    images = nn.functional.interpolate(images, size=(size, size), mode="bilinear")
    return images, (images + 0.1 * torch.randn(images.shape, generator=random)).clamp(0, 1)


def test_psnr_is_that_of_scikit_image() -> None:
    from skimage.metrics import peak_signal_noise_ratio

    images, others = pairs(32)
    both = zip(images.numpy(), others.numpy(), strict=True)
    theirs = [peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in both]
    np.testing.assert_allclose(psnr(images, others), theirs, rtol=1e-4)


@pytest.mark.filterwarnings("ignore")
def test_lpips_is_that_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lpips

    with torch.random.fork_rng():
        torch.manual_seed(0)
        theirs = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False)
    layers = {f"features.{name.split('.', 1)[1]}": tensor for name, tensor in theirs.net.state_dict().items()}
    register("alexnet", layers, tmp_path, monkeypatch)
    metric = catalog.find_metric("lpips")(Context(CPU))
    colour, small = pairs(64), pairs(31)
    grey, alone = ([each[:, :1] for each in colour], [each[:1] for each in colour])
    for images, others in (colour, small, grey, alone):
        values = metric.values(ReconstructionBatch(images, others))
        expected = theirs(*(each.expand(-1, 3, -1, -1) for each in (images, others)), normalize=True)
        assert values.shape == (len(images),)
        torch.testing.assert_close(values, expected.flatten().detach(), rtol=1e-4, atol=0)


def test_ms_ssim_is_the_published_product_over_five_scales() -> None:
    """The means of the contrast at four scales, and of the similarity at the fifth, to the published powers."""
    images, others = pairs(176)
    metric = catalog.find_metric("ms-ssim")(Context(CPU))
    assert metric.min_size == 176
    offsets = torch.arange(-5, 6, dtype=torch.double)
    bell = (-0.5 * (offsets / 1.5) ** 2).exp()
    window = (bell[:, None] * bell / bell.sum() ** 2).expand(3, 1, 11, 11)
    a, b, product = images.double(), others.double(), 1.0
    for scale, weight in enumerate((0.0448, 0.2856, 0.3001, 0.2363, 0.1333), start=1):
        x, y, xx, yy, xy = (nn.functional.conv2d(each, window, groups=3) for each in (a, b, a * a, b * b, a * b))
        factor = (2 * (xy - x * y) + 0.03**2) / (xx - x * x + yy - y * y + 0.03**2)
        if scale == 5:
            factor = factor * (2 * x * y + 0.01**2) / (x * x + y * y + 0.01**2)
        product = product * factor.flatten(1).mean(1) ** weight
        a, b = (nn.functional.avg_pool2d(each, 2) for each in (a, b))
    torch.testing.assert_close(metric.values(ReconstructionBatch(images, others)).double(), product, rtol=1e-4, atol=0)
    torch.testing.assert_close(metric.values(ReconstructionBatch(images, images)), torch.ones(2))


def test_small_pictures_are_refused_before_anything_is_loaded() -> None:
    from helpers import small_model

    for name in ("lpips", "ms-ssim"):
        with pytest.raises(UsageError, match=f'"{name}" needs pictures of at least'):
            catalog.find_metric(name).check(small_model(), "fashion-mnist")
