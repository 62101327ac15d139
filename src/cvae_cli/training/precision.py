"""What `--precision auto` means: decided once for a run, on a CPU by a few steps in each precision."""

import time

import torch

from cvae_cli.data.batches import Batch, Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.device import DTYPES, flops
from cvae_cli.recipes import Precision, Recipe
from cvae_cli.text.condition import settings_of
from cvae_cli.training.build import build_model, build_objective
from cvae_cli.training.objective import Objective

_PICTURES = 64  # at most, in a step that is timed
_TIMES = 2
_LITTLE = 30e6  # operations an image: with fewer there is nothing to gain, and the choice would be the clock's noise
_FASTER = 1.2  # times, for less precision to be worth it


def decide(recipe: Recipe, train: Dataset, device: torch.device) -> tuple[Precision, str]:
    """The precision of a recipe on a device, and why that one; nothing where the recipe has said it.

    `auto` is bf16 on a GPU that has it; on a CPU whichever trains faster, fp32 where there is little between them.
    """
    if recipe.training.precision != "auto":
        return recipe.training.precision, ""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16", "the GPU has it"
    if device.type != "cpu":
        return "fp32", ""
    model = build_model(recipe, train.name, train.image_shape, settings_of(train))
    objective = build_objective(recipe, model)
    few = train.limit(min(_PICTURES, recipe.training.batch_size))
    batches = objective.batches(few, batch_size=len(few), device=device)
    if flops(model.elbo, *next(Batches(few, batch_size=1, device=device).in_order())) < _LITTLE:
        return "fp32", ""
    seconds = _time(objective, next(batches.epoch(0)))
    ratio = seconds["fp32"] / seconds["bf16"]
    faster = ratio >= _FASTER
    return ("bf16" if faster else "fp32"), f"bf16 is {ratio:.1f} times as fast here"


def _time(objective: Objective, batch: Batch) -> dict[Precision, float]:
    """Seconds for a step of a throwaway model in each precision."""
    objective.train_mode()
    seconds: dict[Precision, float] = {}

    def step(precision: Precision) -> None:
        began = time.perf_counter()
        with torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32"):
            loss = objective.total(objective.losses(*batch), beta=1.0).mean()
        loss.backward()
        seconds[precision] = min(time.perf_counter() - began, seconds.get(precision, float("inf")))

    for _ in range(1 + _TIMES):  # the first warms up
        step("fp32")
        step("bf16")
    return seconds
