"""What a training starts from: nothing, or a finished model, which decides how the new one is built."""

from collections.abc import Sequence
from typing import Any

from cvae_cli.config.model import ScorePrior
from cvae_cli.config.recipe import Part, Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.catalog import has_classes, short_name
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import find_model, read_config

FROM_NOTHING, FROM_A_MODEL = "pictures", "finetune"
"""The recipes for a folder of the user's pictures."""


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
    if start == "none":
        changes.pop("start")
    elif "start" in changes or (not _differs(changes, str(start), prior) and not has_classes(folder)):
        text = f"starts from the model {start}; from nothing:  cvae train {FROM_NOTHING} --data {folder}"
        return FROM_A_MODEL, (text,)
    return FROM_NOTHING, ()


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


def settings_of_start(recipe: Recipe, changes: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a recipe that the model to start from decides, by dotted key; none without a start.

    Raises:
        UsageError: there is no such model, or something else is asked for.
        CorruptError: its configuration is damaged.
    """
    start = changes.get("start", recipe.start)
    if start is None:
        return {}
    folder = find_model(start).resolve()
    config = read_config(folder)
    decided = {"data.size": config.image.size, "data.condition": config.condition.option}
    for key, value in decided.items():
        if changes.get(key, value) != value:
            raise UsageError(
                f'"{key}" is {value} in {short_name(str(start))}, the model to start from, not {changes[key]}',
                hint="learn from nothing:  cvae train pictures --data folder:PATH",
            )
    architecture = config.architecture.model_dump(mode="json")
    return decided | {"start": str(folder), "start_hybrid": config.hybrid, "architecture": architecture}


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
