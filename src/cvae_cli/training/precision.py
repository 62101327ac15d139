"""Decide the precision of a training: what `auto` means on a device.

Only the device and the recipe decide. A measurement would come out differently from one run to the next, and so would
the model.
"""

import torch

from cvae_cli.config.recipe import Precision, Recipe
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.events import Callback, Notice
from cvae_cli.runtime.device import computes_bf16, count_flops
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model

_SMALL_FLOPS = 1e6  # operations an image: on a CPU a smaller network loses in converting to bf16 what it gains
_SMALL_STEP = 50e9  # operations a step: a GPU spends a smaller one on starting kernels, and bf16 needs more of them
_TRAINING = 3  # operations of a training step, relative to a forward pass


def with_precision(recipe: Recipe, train: Dataset, device: torch.device, callback: Callback) -> Recipe:
    """Return the recipe with "auto" replaced by a precision, which a run keeps when it is resumed elsewhere."""
    precision, reason = decide_precision(recipe, train, device)
    if reason:
        callback(Notice(f"precision: {precision} ({reason})"))
    settings = recipe.training.model_copy(update={"precision": precision})
    return recipe.model_copy(update={"training": settings})


def decide_precision(recipe: Recipe, train: Dataset, device: torch.device) -> tuple[Precision, str]:
    """Return the precision of a recipe on a device, and the reason; no reason if the recipe names the precision.

    `auto` is bf16 where the device computes with bf16 itself, and fp32 elsewhere, for very small networks on a CPU, and
    for small steps on a GPU, unless they are compiled.
    """
    if recipe.training.precision != "auto":
        return recipe.training.precision, ""
    if not computes_bf16(device):
        return "fp32", f"this {_KINDS.get(device.type, device.type)} has no instructions for bf16"
    if device.type == "cpu" and _count_flops(recipe, train) < _SMALL_FLOPS:
        return "fp32", "bf16 is not faster for a network this small"
    if device.type == "cuda" and not recipe.training.compile and _count_step(recipe, train) < _SMALL_STEP:
        return "fp32", "bf16 is not faster for steps this small"
    return "bf16", f"this {_KINDS.get(device.type, device.type)} has instructions for bf16"


_KINDS = {"cpu": "processor", "cuda": "GPU", "mps": "GPU"}


def _count_step(recipe: Recipe, train: Dataset) -> int:
    """Return the operations of a training step."""
    return _TRAINING * recipe.training.batch_size * _count_flops(recipe, train)


def _count_flops(recipe: Recipe, train: Dataset) -> int:
    """Return the operations of a forward pass of one image."""
    model = build_model(recipe, train.name, train.image_shape, condition_config(train))
    return count_flops(model.elbo, *next(Batches(train.limit(1), batch_size=1, device=model.device).in_order()))
