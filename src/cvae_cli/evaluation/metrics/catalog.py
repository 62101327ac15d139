"""The metrics by name. Reading this table imports no torch: a metric's module is imported when its class is needed."""

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from cvae_cli.errors import UsageError, did_you_mean

METRICS = {
    "mse": "reconstruction:MeanSquaredError",
    "ssim": "reconstruction:StructuralSimilarity",
    "psnr": "reconstruction:PeakSignalToNoiseRatio",
    "elbo": "bound:NegativeELBO",
    "rate": "bound:Rate",
    "distortion": "bound:Distortion",
    "bits-per-dim": "bound:BitsPerDimension",
    "active-units": "bound:ActiveUnits",
    "iwae": "bound:ImportanceWeightedBound",
    "accuracy": "classifier:Accuracy",
    "fid": "frechet:FID",
    "fid-fashion": "frechet:FashionFID",
    "recall": "neighbours:Recall",
    "coverage": "neighbours:Coverage",
    "clip-score": "captions:CLIPScore",
    "retrieval": "captions:Retrieval",
}
"""Name -> "module:Class", the module being one of this package. The order is that of tables and help texts."""


def listing() -> str:
    """All names in one phrase: "mse, ssim, ... or retrieval"."""
    *names, last = METRICS
    return f"{', '.join(names)} or {last}"


def check_names(names: Sequence[str]) -> None:
    """Raise a UsageError with a suggestion if there is no metric of one of these names."""
    for name in names:
        if name not in METRICS:
            raise UsageError(
                f'no metric "{name}".{did_you_mean(name, list(METRICS))}', hint=f"metrics: {', '.join(METRICS)}"
            )


def get(name: str) -> Any:
    """The class of the metric `name`, a subclass of `metric.Metric`.

    Raises:
        UsageError: there is no such metric.
    """
    check_names([name])
    module, _, attribute = METRICS[name].partition(":")
    return getattr(import_module(f"{__package__}.{module}"), attribute)


def default_names(dataset: str) -> list[str]:
    """The metrics that are computed on a data set by default: those that need no download."""
    metrics = [get(name) for name in METRICS]
    return [metric.name for metric in metrics if metric.is_default and metric.dataset in {None, dataset}]
