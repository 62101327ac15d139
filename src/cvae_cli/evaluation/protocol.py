"""The protocol of an evaluation: everything that the scores depend on, apart from the models or pictures measured."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch

from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.result import Protocols
from cvae_cli.version import __version__

_NUMBERS = ("seed", "repeats", "temperature", "guidance")


def make_protocol(dataset: Dataset, metrics: Sequence[str], context: Context, device: torch.device) -> dict[str, Any]:
    """Return the protocol of scores.

    It has the entries of every metric of the catalog, and the feature extractors of those that were computed.

    Args:
        metrics: the names of the metrics that were computed.
        device: where the models were.
    """
    settings = context.settings
    parts = [catalog.find_metric(name).protocol(settings) for name in catalog.METRICS]
    extractors = {name: catalog.find_metric(name).features for name in metrics}
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "image_size": dataset.image_shape.size,
        "real_images": len(dataset),
        "generated_images": len(dataset),
        "conditions": "the labels of the data set, or the first caption of each picture, one sample each",
        "seed": settings.seed,
        "repeats": settings.repeats,
        "noise": "from the seed, the class or caption, and the number among equal ones",
        "temperature": settings.temperature,
        "guidance": "each model's own" if settings.guidance is None else settings.guidance,
        "reconstruction": f"decoder mean of the posterior's {settings.reconstruction}",
        **{key: value for part in parts for key, value in part.items()},
        "features": {name: context.extractor(each).protocol for name, each in extractors.items() if each is not None},
        "device": str(device),
        "precision": "fp32",
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """The versions of what computes the scores."""
    libraries = {name: version(name) for name in ("torch", "torchmetrics", "torch-fidelity")}
    return {"python": platform.python_version(), "cvae-cli": __version__, **libraries}


def score_protocols(dataset: Dataset, metrics: Sequence[str], context: Context) -> Protocols:
    """Return what each score of a model depends on, by the metric's name."""
    settings = context.settings
    common = {"dataset": dataset.name, "split": dataset.split, "real_images": len(dataset), "seed": settings.seed}
    if settings.repeats > 1:
        common["repeats"] = settings.repeats
    of_stream: dict[str, dict[str, Any]] = {
        "reconstructions": {"reconstruction": settings.reconstruction},
        "samples": {
            "generated_images": len(dataset),
            "temperature": settings.temperature,
            "guidance": "each model's own" if settings.guidance is None else settings.guidance,
        },
    }
    return {
        name: {**common, **of_stream.get(catalog.find_metric(name).stream, {}), **score_protocol(name, context)}
        for name in metrics
    }


def score_protocol(name: str, context: Context) -> dict[str, Any]:
    """Return what a metric itself depends on: its features, and its settings."""
    metric = catalog.find_metric(name)
    features = {} if metric.features is None else {"features": context.extractor(metric.features).protocol}
    return {**features, **metric.protocol(context.settings)}


def essentials(protocol: dict[str, Any]) -> str:
    """Return a protocol of a score in one line: how many pictures, drawn how, and measured on which features."""
    numbers = [
        f"{protocol[f'{kind}_images']:,} {kind}" for kind in ("real", "generated") if protocol.get(f"{kind}_images")
    ]
    parts = [f"{' and '.join(numbers)} pictures"] if numbers else []
    parts += [f"{key} {protocol[key]:g}" for key in _NUMBERS if isinstance(protocol.get(key), int | float)]
    features = protocol.get("features", {})
    parts += [str(features[key]) for key in ("features", "clip") if key in features]
    parts += [f"resize {features[key]}" for key in ("resize", "clip_resize") if key in features]
    parts += [f"weights {value[:8]}" for key, value in features.items() if key.endswith("sha256")]
    return " · ".join(parts)


def differences(first: dict[str, Any], other: dict[str, Any]) -> list[str]:
    """Return in words what is different in the protocols of two scores, for the second of them."""
    texts = []
    for key in dict.fromkeys([*first, *other]):
        if (ours := other.get(key)) != (theirs := first.get(key)):
            is_number = isinstance(ours, int) and isinstance(theirs, int)
            texts.append(f"{ours:,} {key.replace('_', ' ')}, not {theirs:,}" if is_number else f"other {key}")
    return texts
