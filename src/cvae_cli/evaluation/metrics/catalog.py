"""The metrics by name.

Importing this module is cheap: the module of a metric, which needs torch, is imported when the metric is looked up.
"""

from collections.abc import Sequence
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import UsageError, did_you_mean

if TYPE_CHECKING:
    from cvae_cli.evaluation.metrics.metric import Metric
    from cvae_cli.models.cvae import CVAE

METRICS = {
    "mse": "cvae_cli.evaluation.metrics.reconstruction:MeanSquaredError",
    "ssim": "cvae_cli.evaluation.metrics.reconstruction:StructuralSimilarity",
    "ssim-wang": "cvae_cli.evaluation.metrics.reconstruction:PublishedStructuralSimilarity",
    "psnr": "cvae_cli.evaluation.metrics.reconstruction:PeakSignalToNoiseRatio",
    "elbo": "cvae_cli.evaluation.metrics.bound:NegativeELBO",
    "rate": "cvae_cli.evaluation.metrics.bound:Rate",
    "distortion": "cvae_cli.evaluation.metrics.bound:Distortion",
    "bits-per-dim": "cvae_cli.evaluation.metrics.bound:BitsPerDimension",
    "active-units": "cvae_cli.evaluation.metrics.bound:ActiveUnits",
    "iwae": "cvae_cli.evaluation.metrics.bound:ImportanceWeightedBound",
    "accuracy": "cvae_cli.evaluation.metrics.classifier:Accuracy",
    "fid": "cvae_cli.evaluation.metrics.frechet:FID",
    "fid-fashion": "cvae_cli.evaluation.metrics.frechet:FashionFID",
    "recall": "cvae_cli.evaluation.metrics.neighbours:Recall",
    "coverage": "cvae_cli.evaluation.metrics.neighbours:Coverage",
    "clip-score": "cvae_cli.evaluation.metrics.captions:CLIPScore",
    "retrieval": "cvae_cli.evaluation.metrics.captions:Retrieval",
}
"""The class of each metric, as `module:class`, in the order of tables and help texts."""


def listing() -> str:
    """Return all names in one phrase: "mse, ssim, ... or retrieval"."""
    *names, last = METRICS
    return f"{', '.join(names)} or {last}"


def check_names(names: Sequence[str]) -> None:
    """Raise a UsageError with a suggestion if there is no metric of one of these names."""
    for name in names:
        if name not in METRICS:
            raise UsageError(
                f'no metric "{name}".{did_you_mean(name, list(METRICS))}', hint=f"metrics: {', '.join(METRICS)}"
            )


def find_metric(name: str) -> "type[Metric[Any]]":
    """Return the class of the metric `name`.

    Raises:
        UsageError: there is no such metric.
    """
    check_names([name])
    metric: type[Metric[Any]] = resolve_name(METRICS[name])
    return metric


def default_names(dataset: str, models: "Sequence[CVAE]") -> list[str]:
    """Return the metrics of models on a data set that are computed by default.

    They need no download, and have a meaning for at least one of the models.
    """
    metrics = [find_metric(name) for name in METRICS]
    candidates = [metric for metric in metrics if metric.is_default and metric.dataset in {None, dataset}]
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
    metrics = map(find_metric, set_names())
    return [metric.name for metric in metrics if metric.is_default and metric.dataset in {None, dataset}]
