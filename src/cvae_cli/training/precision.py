"""What `--precision auto` means: decided once for a run, on a CPU by a few steps in each precision.

What was measured is remembered, so that the same command means the same on the same machine.
"""

import contextlib
import hashlib
import json
import platform
import time

import torch

from cvae_cli.config.recipe import Precision, Recipe
from cvae_cli.data.batches import Batch, Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.paths import cache_dir, write_text
from cvae_cli.runtime.device import DTYPES, count_flops
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model, build_objective
from cvae_cli.training.objective import Objective

_MEMORY = "precision.json"
_WORK = 16e9  # operations in a forward pass that is timed, at most; but some pictures at least
_FEWEST = 16
_TIMES = 2
_LITTLE = 1e6  # operations an image: with fewer, turning weights into bf16 costs what it gains
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
    model = build_model(recipe, train.name, train.image_shape, condition_config(train))
    objective = build_objective(recipe, model)
    operations = count_flops(model.elbo, *next(Batches(train.limit(1), batch_size=1, device=device).in_order()))
    if operations < _LITTLE:
        return "fp32", ""
    few = train.limit(min(recipe.training.batch_size, max(_FEWEST, int(_WORK / operations))))
    batches = objective.batches(few, batch_size=len(few), device=device)
    question = _question(recipe, train)
    known = _remembered()
    if question not in known:
        seconds = _time(objective, next(batches.epoch(0)))
        known[question] = round(seconds["fp32"] / seconds["bf16"], 2)
        _remember(known)
    ratio = known[question]
    faster = ratio >= _FASTER
    return ("bf16" if faster else "fp32"), f"bf16 is {ratio:.1f} times as fast here"


def _question(recipe: Recipe, train: Dataset) -> str:
    """What decides how long a step takes."""
    parts = [
        recipe.architecture.model_dump_json(),
        repr(train.image_shape),
        recipe.training.batch_size,
        torch.__version__,
        torch.get_num_threads(),
        platform.machine(),
        platform.processor(),
    ]
    return hashlib.sha256("\n".join(map(str, parts)).encode()).hexdigest()[:16]


def _remembered() -> dict[str, float]:
    """How many times as fast bf16 was, by question; nothing where that cannot be read."""
    try:
        known = json.loads((cache_dir() / _MEMORY).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    if not isinstance(known, dict) or not all(isinstance(ratio, float) for ratio in known.values()):
        return {}
    return known


def _remember(known: dict[str, float]) -> None:
    with contextlib.suppress(UsageError, OSError):  # measuring again does no harm
        write_text(cache_dir() / _MEMORY, json.dumps(known, indent=1))


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
