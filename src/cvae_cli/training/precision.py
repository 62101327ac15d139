"""Decide the precision of a training: what `auto` means on this machine.

On a CPU, a few steps are timed in each precision. The result is kept in the cache, so that the same command uses the
same precision again.
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
from cvae_cli.training.objectives.objective import Objective

_CACHE_FILE = "precision.json"
_MAX_FLOPS = 16e9  # floating-point operations of a forward pass that is timed; a smaller batch is timed to stay below
_MIN_IMAGES = 16  # but the timed batch has at least so many images
_REPEATS = 2
_SMALL_FLOPS = 1e6  # operations an image: a smaller network loses in converting weights to bf16 what it gains
_MIN_SPEEDUP = 1.2  # of bf16, to be worth its lower precision


def decide_precision(recipe: Recipe, train: Dataset, device: torch.device) -> tuple[Precision, str]:
    """Return the precision of a recipe on a device, and the reason; no reason if the recipe names the precision.

    `auto` is bf16 on a GPU that supports it. On a CPU it is the faster one, and fp32 if the difference is small.
    """
    if recipe.training.precision != "auto":
        return recipe.training.precision, ""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return "bf16", "the GPU has it"
    if device.type != "cpu":
        return "fp32", ""
    model = build_model(recipe, train.name, train.image_shape, condition_config(train))
    objective = build_objective(recipe, model)
    flops = count_flops(model.elbo, *next(Batches(train.limit(1), batch_size=1, device=device).in_order()))
    if flops < _SMALL_FLOPS:
        return "fp32", ""
    few = train.limit(min(recipe.training.batch_size, max(_MIN_IMAGES, int(_MAX_FLOPS / flops))))
    batches = objective.make_batches(few, batch_size=len(few), device=device)
    key = _cache_key(recipe, train)
    speedups = _read_speedups()
    if key not in speedups:
        seconds = _time_steps(objective, next(batches.epoch(0)))
        speedups[key] = round(seconds["fp32"] / seconds["bf16"], 2)
        _write_speedups(speedups)
    speedup = speedups[key]
    precision: Precision = "bf16" if speedup >= _MIN_SPEEDUP else "fp32"
    return precision, f"bf16 is {speedup:.1f} times as fast here"


def _cache_key(recipe: Recipe, train: Dataset) -> str:
    """Return a digest of everything that determines how long a step takes."""
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


def _read_speedups() -> dict[str, float]:
    """Return the speedups of bf16 over fp32 in the cache, by key; nothing if the file cannot be read."""
    try:
        speedups = json.loads((cache_dir() / _CACHE_FILE).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return {}
    if not isinstance(speedups, dict) or not all(isinstance(speedup, float) for speedup in speedups.values()):
        return {}
    return speedups


def _write_speedups(speedups: dict[str, float]) -> None:
    with contextlib.suppress(UsageError, OSError):  # without the cache they are measured again
        write_text(cache_dir() / _CACHE_FILE, json.dumps(speedups, indent=1))


def _time_steps(objective: Objective, batch: Batch) -> dict[Precision, float]:
    """Return the seconds that a step takes in each precision, the shortest of a few."""
    objective.train_mode()
    seconds: dict[Precision, float] = {}

    def step(precision: Precision) -> None:
        started = time.perf_counter()
        with torch.autocast("cpu", DTYPES[precision], enabled=precision != "fp32"):
            loss = objective.total(objective.losses(*batch), beta=1.0).mean()
        loss.backward()
        seconds[precision] = min(time.perf_counter() - started, seconds.get(precision, float("inf")))

    for _ in range(1 + _REPEATS):  # the first warms up
        step("fp32")
        step("bf16")
    return seconds
