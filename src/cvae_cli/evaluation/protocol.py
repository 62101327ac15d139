"""The protocol of an evaluation: everything that the scores depend on, apart from the models."""

import platform
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch

from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics import catalog


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
        "noise": "from the seed, the class or caption, and the number among equal ones",
        "temperature": settings.temperature,
        "guidance": "each model's own" if settings.guidance is None else settings.guidance,
        "reconstruction": f"decoder mean of the posterior's {settings.reconstruction}",
        **{key: value for part in parts for key, value in part.items()},
        "features": {name: context.extractor(each).protocol for name, each in extractors.items() if each is not None},
        "device": str(device),
        "precision": "fp32",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("cvae-cli", "torch", "torchmetrics", "torch-fidelity")},
        },
    }
