"""What a training starts from: nothing, or a finished model, which decides how the new one is built."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cvae_cli.config.model import ScorePrior
from cvae_cli.config.recipe import Part, Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.catalog import check_image_shape, has_classes, short_name
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import bundled_models, find_model, read_config
from cvae_cli.paths import DEFAULT_MODEL

FROM_NOTHING, FROM_A_MODEL = "pictures", "finetune"
"""The recipes for a folder of the user's pictures."""
CLOSEST, NOTHING = "closest", "none"
"""Values of `start` besides a model: the bundled one which describes the captioned pictures best, and none at all."""


def choose_recipe(folder: str, changes: dict[str, Any], *, prior: str | None) -> tuple[str, tuple[str, ...]]:
    """Return the recipe for a folder of the user's pictures, and what to tell the user about it.

    Captioned pictures are best served with a model that has learned others. But if anything is asked for that this
    model does not have, the folder is learned from nothing, and so is one with classes.

    Args:
        folder: `folder:PATH`.
        changes: to the recipe, by dotted key.
        prior: the kind of prior that is asked for.

    Raises:
        CvaeError: the folder cannot be used.
    """
    start = changes.get("start") or load_recipe(FROM_A_MODEL).start
    if start == NOTHING:
        return FROM_NOTHING, ()
    starts = possible_starts(start)
    if "start" in changes or (not _differs(changes, str(starts[0]), prior) and not has_classes(folder)):
        named = f"the model {start}" if start != CLOSEST else f"one of {', '.join(map(str, starts))}"
        return FROM_A_MODEL, (f"starts from {named}; from nothing:  cvae train {FROM_NOTHING} --data {folder}",)
    return FROM_NOTHING, ()


def possible_starts(start: str | None) -> tuple[str | None, ...]:
    """Return the models that a training may start from: the one that is named, or those that "closest" stands for.

    Those are built for the same pictures and captions as the default model, which comes first.
    """
    if start != CLOSEST:
        return (start,)
    configs = {name: read_config(find_model(name)) for name in bundled_models()}
    kinds = {name: (config.image, config.condition.option) for name, config in configs.items()}
    return (DEFAULT_MODEL, *(name for name in kinds if name != DEFAULT_MODEL and kinds[name] == kinds[DEFAULT_MODEL]))


def _differs(changes: dict[str, Any], start: str, prior: str | None) -> bool:
    """Whether a model is asked for that is built otherwise than the one to start from."""
    config = read_config(find_model(start))
    own = {"data.size": config.image.size, "data.condition": config.condition.option}
    return (
        prior is not None
        or "data.stream" in changes
        or any(key in changes and changes[key] != value for key, value in own.items())
        or any(key.startswith(("architecture", "then.prior", "then.0.prior")) for key in changes)
    )


def settings_of_start(start: str | None, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that the model to start from decides, by dotted key; none without a start.

    Raises:
        UsageError: there is no such model, or something else is asked for.
        CorruptError: its configuration is damaged.
    """
    if start is None:
        return {}
    folder = find_model(start).resolve()
    config = read_config(folder)
    decided = {"data.size": config.image.size, "data.condition": config.condition.option}
    for key, value in decided.items():
        if changes.get(key, value) != value:
            raise UsageError(
                f'"{key}" is {value} in {short_name(start)}, the model to start from, not {changes[key]}',
                hint="learn from nothing:  cvae train pictures --data folder:PATH",
            )
    architecture = config.architecture.model_dump(mode="json")
    return decided | {"start": str(folder), "start_hybrid": config.hybrid, "architecture": architecture}


def check_pictures(recipe: Recipe, *, called: str | Path) -> None:
    """Raise a UsageError if the pictures of a recipe are not like those of the model that it starts from.

    Args:
        called: how the user calls the model.
    """
    shape = read_config(find_model(recipe.start or "")).image
    hint = "start from a model of such pictures, or from none"
    check_image_shape(shape, recipe.data.name, called=str(called), hint=hint)


def untaught_inputs(recipe: Recipe) -> list[Part]:
    """Return which inputs a recipe's prior has, its guidance or its steps, that it is not taught after it changes."""
    stages = recipe.stages()
    prior = stages[-1].architecture.prior
    if not isinstance(prior, ScorePrior):
        return []
    # what is trained, stage by stage; a stage without a part fits a prior, unless it is the first of all
    parts = ["prior" if stage.start is not None and stage.tune is None else stage.tune for stage in stages]
    inputs: dict[Part, tuple[bool, set[Part]]] = {
        "guidance": (prior.guidance_input, {"prior"}),
        "steps": (prior.step_input, {"prior", "guidance"}),
    }
    return [part for part, (has, spoilers) in inputs.items() if has and _is_left(part, spoilers, parts)]


def _is_left(part: Part, spoilers: set[Part], parts: Sequence[str | None]) -> bool:
    """Whether the last of these stages that trains the part, or something that it depends on, trains the latter."""
    relevant = [each for each in parts if each == part or each in spoilers]
    return bool(relevant) and relevant[-1] != part
