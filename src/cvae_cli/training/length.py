"""How long a training is: what `epochs`, `limit` and `minutes` change in a recipe besides the setting they name."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from cvae_cli.config.recipe import Recipe
from cvae_cli.errors import UsageError


class TrainingOptions(TypedDict, total=False):
    """The options of a training; `train` describes them."""

    resume: str | Path | None
    data: str | None
    data_dir: str | Path | None
    size: int | None
    condition: str | None
    out: str | Path | None
    epochs: int | None
    minutes: float | None
    batch_size: int | None
    learning_rate: float | None
    latent_dim: int | None
    beta: float | None
    seed: int | None
    precision: str | None
    limit: int | None
    stream: bool
    prior: str | None
    tune: str | None
    model: str | Path | None
    settings: Mapping[str, Any] | None
    force: bool
    log: str | None


def scaled(own: Recipe, options: TrainingOptions) -> dict[str, Any]:
    """Return further changes to a recipe, by dotted key, that make its stages as short as the options say.

    Args:
        own: the recipe without any changes.
    """
    epochs, limit = options.get("epochs"), options.get("limit")
    changes: dict[str, Any] = {}
    if epochs:
        part = epochs / own.training.epochs
        changes["data.epoch_size"] = 1  # an epoch is one pass over the pictures
        changes["training.beta_warmup_epochs"] = own.training.beta_warmup_epochs * min(1.0, part)
        for number, stage in enumerate(own.then):
            changes[f"then.{number}.training.epochs"] = max(1, math.ceil(stage.training.epochs * part))
    elif limit:
        learned = limit - limit // 10  # a tenth of them is for validation
        changes["data.epoch_size"] = max(1, min(own.data.epoch_size, learned))
    return changes


def scaling_notices(own: Recipe, chosen: Recipe, options: TrainingOptions) -> tuple[str, ...]:
    """Return what to tell a user whose epochs are not those of the recipe."""
    if not options.get("epochs") or chosen.data.epoch_size == own.data.epoch_size:
        return ()
    return (
        f"with --epochs an epoch is one pass over the pictures; without it {own.name} trains {own.training.epochs} "
        f"epochs of at least {own.data.epoch_size:,} pictures",
    )


def check_minutes(recipe: Recipe, options: TrainingOptions) -> None:
    """Check that `minutes` is a time, and that nothing else says how long to train.

    Raises:
        UsageError: it is not.
    """
    minutes = options.get("minutes")
    if minutes is None:
        return
    if not 0 < minutes < math.inf:
        raise UsageError(f"--minutes must be a number above 0, not {minutes}")
    if options.get("epochs") is not None:
        raise UsageError("give either --epochs or --minutes", hint="--minutes plans the epochs itself")
    if any(training.steps for training in recipe.trainings):
        raise UsageError("give either training.steps or --minutes", hint="--minutes plans the steps itself")
