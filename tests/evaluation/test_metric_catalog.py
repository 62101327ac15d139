"""The table of metrics agrees with the classes, and reading it costs no torch."""

import re
import subprocess
import sys
from typing import Any

import pytest
import torch
from helpers import fashion, small_model
from torch import Tensor

from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.evaluate import evaluate_model
from cvae_cli.evaluation.features import EXTRACTORS, SMALL, load_extractor
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.metrics.metric import Metric, ReconstructionMetric
from cvae_cli.evaluation.streams import STREAMS, PictureBatch, ReconstructionBatch
from cvae_cli.pictures.pixels import to_float

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", catalog.METRICS)
def test_each_name_is_that_of_its_class(name: str) -> None:
    metric = catalog.find_metric(name)
    assert issubclass(metric, Metric)
    assert metric.name == name
    assert metric.label
    assert metric.direction in {"lower", "higher", None}
    assert metric.stream in STREAMS
    assert metric.features in {None, SMALL, "lpips", *EXTRACTORS}
    for alternative in metric.alternatives:  # these need no download
        assert catalog.find_metric(alternative).features in {None, SMALL, "fashion", "pictures"}
    assert (name in catalog.ON_FEATURES) == (
        hasattr(metric, "on") and name not in {"fid", "fid-fashion", "inception-score"}
    )


@pytest.mark.parametrize(
    ("name", "heading", "direction", "min_pictures", "min_size"),
    [
        ("mse", "mse, sum over pixels", "lower", 1, 1),
        ("mae", "mae, mean over pixels", "lower", 1, 1),
        ("ssim", "ssim, border reflected", "higher", 1, 6),
        ("ssim-wang", "ssim-wang, no border", "higher", 1, 11),
        ("ms-ssim", "ms-ssim", "higher", 1, 176),
        ("psnr", "psnr, dB", "higher", 1, 1),
        ("lpips", "lpips, alexnet", "lower", 1, 31),
        ("elbo", "-ELBO, nats", "lower", 1, 1),
        ("rate", "rate, nats", None, 1, 1),
        ("distortion", "distortion, nats", "lower", 1, 1),
        ("bits-per-dim", "bits/dim", "lower", 1, 1),
        ("active-units", "active units", None, 1, 1),
        ("iwae", "importance-weighted bound, nats", "lower", 1, 1),
        ("accuracy", "accuracy", "higher", 1, 1),
        ("fid", "fid, 1,500 samples", "lower", 2, 1),
        ("fid-fashion", "fid-fashion, 1,500 samples", "lower", 2, 1),
        ("frechet", "frechet on clip, 1,500 samples", "lower", 2, 1),
        ("frechet:fashion", "frechet:fashion, 1,500 samples", "lower", 2, 1),
        ("kid", "kid", "lower", 2, 1),
        ("inception-score", "inception-score, 1,500 samples", "higher", 10, 1),
        ("precision", "precision on clip, 1,500 samples", "higher", 2, 1),
        ("recall", "recall on clip, 1,500 samples", "higher", 2, 1),
        ("density", "density on clip, 1,500 samples", "higher", 2, 1),
        ("coverage", "coverage on clip, 1,500 samples", "higher", 2, 1),
        ("coverage:clip", "coverage:clip, 1,500 samples", "higher", 2, 1),
        ("clip-score", "clip-score, 0 to 100", "higher", 1, 1),
        ("retrieval", "retrieval, R@1 of 100", "higher", 1, 1),
    ],
)
def test_what_is_said_of_each_metric(
    name: str, heading: str, direction: str | None, min_pictures: int, min_size: int
) -> None:
    metric = catalog.find_metric(name)
    assert (metric.name, metric.heading(1500, "clip")) == (name, heading)
    assert (metric.direction, metric.min_pictures, metric.min_size) == (direction, min_pictures, min_size)


@pytest.mark.parametrize(
    ("name", "said", "hint"),
    [
        ("mse2", 'no metric "mse2". Did you mean "mse"?', "metrics: mse, mae, ssim"),
        ("all", 'no metric "all".', "metrics: mse"),
        ("mse:clip", '"mse" has its own features or none', "of your choice: frechet, kid"),
        ("fid:fashion", '"fid" has its own features or none', "--metric frechet:fashion"),
        ("fid-fashion:", '"fid-fashion" has its own features or none', "--metric frechet:clip"),
        ("recall:", 'no features ""', "inception, clip, fashion, pictures"),
    ],
)
def test_what_is_no_metric_is_refused_with_a_way_out(name: str, said: str, hint: str) -> None:
    with pytest.raises(UsageError, match=re.escape(said)) as error:
        catalog.find_metric(name)
    assert hint in str(error.value.hint)


def test_groups_are_names_where_they_are_allowed() -> None:
    catalog.check_names([*catalog.GROUPS, "mse", "recall:clip"], groups=True)
    with pytest.raises(UsageError, match="metric"):
        catalog.check_names(["mse", "samples"])


def test_reading_the_catalog_imports_no_torch() -> None:
    code = (
        "import sys\n"
        "from cvae_cli.evaluation.metrics import catalog\n"
        "assert 'mse, mae, ssim' in catalog.listing()\n"
        "try: catalog.check_names(['fidd'])\n"
        "except Exception as error: assert 'Did you mean \"fid\"?' in str(error)\n"
        "else: raise AssertionError\n"
        "assert 'torch' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_default_metrics_need_no_download() -> None:
    everywhere = ["mse", "mae", "ssim", "ssim-wang", "psnr", "elbo", "rate", "distortion", "active-units"]
    model = small_model()
    assert catalog.default_names("coco", [model]) == everywhere
    names = catalog.default_names("fashion-mnist", [model])
    assert names == [*everywhere, "accuracy", "fid-fashion", "precision", "recall", "density", "coverage"]


def test_metrics_without_meaning_are_no_default() -> None:
    """Bits need a likelihood over 8-bit values. One model that has it is enough: the others then have no value."""
    over_bytes, other = small_model("map-add"), small_model("map-concat")
    assert "bits-per-dim" not in catalog.default_names("coco", [other])
    assert "bits-per-dim" in catalog.default_names("coco", [other, over_bytes])
    small = over_bytes.config.image.model_copy(update={"size": 8})
    over_bytes.config = over_bytes.config.model_copy(update={"image": small})
    names = catalog.default_names("coco", [over_bytes])
    assert "ssim" in names
    assert "ssim-wang" not in names
    with pytest.raises(UsageError, match="at least 11 pixels a side, not of 8"):
        catalog.find_metric("ssim-wang").check(over_bytes, "coco")


def test_what_is_defined_for_some_pictures_is_refused_for_others() -> None:
    def checked(name: str, size: int, dataset: str) -> str:
        model = small_model("map-concat")
        image = model.config.image.model_copy(update={"size": size})
        model.config = model.config.model_copy(update={"image": image})
        metric = catalog.find_metric(name)
        assert metric.is_meaningful(model) == (size >= metric.min_size)
        try:
            metric.check(model, dataset)
        except UsageError as error:
            return error.message
        return ""

    assert checked("ssim-wang", 11, "coco") == ""
    assert checked("ssim-wang", 10, "coco") == '"ssim-wang" needs pictures of at least 11 pixels a side, not of 10'
    assert checked("accuracy", 28, "fashion-mnist") == ""
    for name in ("accuracy", "fid-fashion"):
        said = f'"{name}" is defined for pictures of fashion-mnist only, not of mnist'
        assert checked(name, 28, "mnist") == said
    assert checked("recall", 28, "fashion-mnist") == checked("recall", 32, "coco") == ""
    for name in ("recall", "recall:fashion", "fid-fashion"):  # recall of Fashion-MNIST is on features of 28x28
        said = "the features fashion are of pictures of 28x28, not of 32x32"
        assert checked(name, 32, "fashion-mnist") == said
    assert checked("recall:pictures", 32, "fashion-mnist") == ""


def test_unknown_extractor_gets_a_suggestion() -> None:
    with pytest.raises(UsageError, match='Did you mean "inception"'):
        load_extractor("incepton", CPU)


def test_features_are_computed_once_for_all_metrics() -> None:
    calls: list[int] = []
    context = Context(CPU)
    network = context.extractor("fashion").network
    network.convolutions.register_forward_hook(lambda _, inputs, __: calls.append(len(inputs[0])))
    names = ["accuracy", "fid-fashion", "recall", "coverage"]
    together = evaluate_model(small_model(), fashion("test", 40), names, context=context)
    assert sum(calls) == 2 * 40  # samples and real pictures
    for name in names:
        alone = evaluate_model(small_model(), fashion("test", 40), [name], context=context)
        assert alone.scores[name] == together.scores[name]


def test_a_batch_keeps_the_features_of_each_extractor() -> None:
    batch = PictureBatch(torch.zeros(2, 3, 28, 28, dtype=torch.uint8))
    one, other = load_extractor("fashion", CPU), load_extractor("fashion", CPU)
    assert batch.features(one) is batch.features(one)
    assert batch.features(one) is not batch.features(other)


class LargestError(ReconstructionMetric):
    name = "largest-error"
    label = "largest error"
    direction = "lower"

    def values(self, batch: ReconstructionBatch) -> Tensor:
        return (batch.images - batch.reconstructions).abs().flatten(1).amax(1)


def test_a_new_metric_is_a_class_and_a_line_of_the_catalog(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(catalog.METRICS, "largest-error", f"{__name__}:LargestError")
    model, data = small_model(), fashion("test", 150)
    names = ["largest-error", "mae"]
    scores = evaluate_model(model, data, names, context=Context(CPU, Settings(reconstruction="mean"))).scores
    images = to_float(torch.from_numpy(data.images))
    others = model.reconstruct(images, torch.from_numpy(data.conditions.values(data.rows)))
    error = (images - others).abs()
    assert scores["largest-error"] == pytest.approx(error.flatten(1).amax(1).mean().item(), rel=1e-5)
    assert scores["mae"] == pytest.approx(error.mean().item(), rel=1e-5)
    assert catalog.listing().endswith(" or largest-error")
    assert "largest-error" in catalog.default_names("coco", [model])


def test_a_mean_over_pictures_has_double_precision() -> None:
    metric = LargestError(Context(CPU))
    for value in (2.0**24, 1.0):  # whose sum is none of single precision
        metric.update(ReconstructionBatch(torch.full((1, 1, 1, 1), value), torch.zeros(1, 1, 1, 1)))
    assert metric.compute() == (2**24 + 1) / 2


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"k": 0}, "k must be at least 1, not 0"),
        ({"repeats": 0}, "repeats must be at least 1, not 0"),
        ({"seed": -1}, "seed"),
        ({"temperature": float("nan")}, "temperature"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Settings(**settings)


def test_names_of_features_depend_on_the_data_and_on_the_settings() -> None:
    of_clothes = Context(CPU, Settings(clip="ViT-B-32/openai"), dataset="fashion-mnist")
    assert [of_clothes.features_name(name) for name in ("small", "clip", "inception")] == [
        "fashion",
        "clip:ViT-B-32/openai",
        "inception",
    ]
    assert [Context(CPU, dataset="coco").features_name(name) for name in ("small", "clip")] == ["pictures", "clip"]


def test_too_few_pictures_for_a_metric_are_refused() -> None:
    with pytest.raises(UsageError, match='"fid-fashion" needs at least 2 pictures, and many to be reliable'):
        evaluate_model(small_model(), fashion("test", 1), ["mse", "fid-fashion"])
