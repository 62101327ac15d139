"""The metrics by name.

Importing this module is cheap: the module of a metric, which needs torch, is imported when the metric is looked up.
"""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.evaluation.features import check_features

if TYPE_CHECKING:
    from cvae_cli.evaluation.metrics.metric import Metric
    from cvae_cli.models.cvae import CVAE

METRICS = {
    "mse": "cvae_cli.evaluation.metrics.reconstruction:MeanSquaredError",
    "mae": "cvae_cli.evaluation.metrics.reconstruction:MeanAbsoluteError",
    "ssim": "cvae_cli.evaluation.metrics.reconstruction:StructuralSimilarity",
    "ssim-wang": "cvae_cli.evaluation.metrics.reconstruction:PublishedStructuralSimilarity",
    "ms-ssim": "cvae_cli.evaluation.metrics.reconstruction:MultiScaleStructuralSimilarity",
    "psnr": "cvae_cli.evaluation.metrics.reconstruction:PeakSignalToNoiseRatio",
    "lpips": "cvae_cli.evaluation.metrics.perceptual:LPIPS",
    "elbo": "cvae_cli.evaluation.metrics.bound:NegativeELBO",
    "rate": "cvae_cli.evaluation.metrics.bound:Rate",
    "distortion": "cvae_cli.evaluation.metrics.bound:Distortion",
    "bits-per-dim": "cvae_cli.evaluation.metrics.bound:BitsPerDimension",
    "active-units": "cvae_cli.evaluation.metrics.bound:ActiveUnits",
    "iwae": "cvae_cli.evaluation.metrics.bound:ImportanceWeightedBound",
    "accuracy": "cvae_cli.evaluation.metrics.classifier:Accuracy",
    "fid": "cvae_cli.evaluation.metrics.frechet:FID",
    "fid-fashion": "cvae_cli.evaluation.metrics.frechet:FashionFID",
    "frechet": "cvae_cli.evaluation.metrics.frechet:Frechet",
    "kid": "cvae_cli.evaluation.metrics.kernel:KID",
    "inception-score": "cvae_cli.evaluation.metrics.inception_score:InceptionScore",
    "precision": "cvae_cli.evaluation.metrics.neighbours:Precision",
    "recall": "cvae_cli.evaluation.metrics.neighbours:Recall",
    "density": "cvae_cli.evaluation.metrics.neighbours:Density",
    "coverage": "cvae_cli.evaluation.metrics.neighbours:Coverage",
    "clip-score": "cvae_cli.evaluation.metrics.captions:CLIPScore",
    "retrieval": "cvae_cli.evaluation.metrics.captions:Retrieval",
}
"""The class of each metric, as `module:class`, in the order of tables and help texts."""

ON_FEATURES = ("frechet", "kid", "precision", "recall", "density", "coverage")
"""The metrics that can be asked for on other features, as `METRIC:FEATURES`."""

GROUPS = ("all", "reconstructions", "bound", "samples")
"""Names of several metrics: all, or those of one stream."""


def listing() -> str:
    """Return all names in one phrase: "mse, ssim, ... or retrieval"."""
    *names, last = METRICS
    return f"{', '.join(names)} or {last}"


def check_names(names: Sequence[str], *, groups: bool = False) -> None:
    """Raise a UsageError with a suggestion if one of these is not a metric.

    Args:
        groups: whether names of `GROUPS` may be among them.
    """
    for name in names:
        metric, colon, features = name.partition(":")
        known = [*METRICS, *(GROUPS if groups else ())]
        if metric not in known:
            raise UsageError(f'no metric "{name}".{did_you_mean(metric, known)}', hint=f"metrics: {', '.join(known)}")
        if colon and metric not in ON_FEATURES:
            hint = f"metrics on features of your choice: {', '.join(ON_FEATURES)}"
            if metric.startswith("fid"):
                hint = f"a Fréchet distance on other features is not FID:  --metric frechet:{features or 'clip'}"
            raise UsageError(f'"{metric}" has its own features or none: "{name}" cannot be measured', hint=hint)
        if colon:
            check_features(features)


def find_metric(name: str) -> "type[Metric[Any]]":
    """Return the class of the metric `name`, which may be `METRIC:FEATURES`.

    Raises:
        UsageError: there is no such metric, or it is not measured on such features.
    """
    check_names([name])
    metric, colon, features = name.partition(":")
    found: Any = resolve_name(METRICS[metric])
    return found.on(features) if colon else found


def group_names(group: str) -> list[str]:
    """Return the metrics of one of `GROUPS`."""
    return [name for name in METRICS if group in {"all", find_metric(name).stream}]


def default_names(dataset: str, models: "Sequence[CVAE]") -> list[str]:
    """Return the metrics of models on a data set that are computed by default.

    They need no download, and have a meaning for at least one of the models.
    """
    metrics = [find_metric(name) for name in METRICS]
    candidates = [metric for metric in metrics if metric.is_default_on(dataset)]
    return [metric.name for metric in candidates if any(metric.is_meaningful(model) for model in models)]


def set_names() -> list[str]:
    """Return the metrics that compare two sets of pictures, without a model."""
    from cvae_cli.evaluation.metrics.set_metric import SetMetric

    return [name for name in METRICS if issubclass(find_metric(name), SetMetric)]


def default_set_names(dataset: str) -> list[str]:
    """Return the metrics of sets that are computed by default: those that need no download.

    Args:
        dataset: the data set that the real pictures are, or "".
    """
    distance = "fid-fashion" if dataset == "fashion-mnist" else "frechet"
    return [distance, "precision", "recall", "density", "coverage"]
