"""Plan a training: which recipe, which folder, new or resumed. Nothing is loaded or written."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict, Unpack

from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe, recipe_for_prior
from cvae_cli.data.catalog import short_name
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import find_model, read_config
from cvae_cli.runtime.distributed import environment_world, was_restarted
from cvae_cli.training.run import Run, with_absolute_paths

FOLDER_RECIPE = "pictures"
"""The recipe for a folder of the user's pictures."""
CHANGEABLE_ON_RESUME = ("training.epochs", "training.learning_rate", "training.gradient_clip", "data.dir")
"""The settings that may change when a run is resumed."""


class TrainingOptions(TypedDict, total=False):
    """The options of a training; `train` describes them."""

    resume: str | Path | None
    data: str | None
    data_dir: str | Path | None
    size: int | None
    condition: str | None
    out: str | Path | None
    epochs: int | None
    batch_size: int | None
    learning_rate: float | None
    latent_dim: int | None
    beta: float | None
    seed: int | None
    precision: str | None
    limit: int | None
    prior: str | None
    model: str | Path | None
    settings: Mapping[str, Any] | None
    force: bool


@dataclass(frozen=True)
class TrainingPlan:
    """A training that has not started yet.

    Attributes:
        recipe: all settings.
        folder: the folder of the run.
        resume: whether the run exists already and is resumed.
        force: whether another run in the folder is removed.
    """

    recipe: Recipe
    folder: Path
    resume: bool
    force: bool = False


def plan_training(recipe: str | None = None, **options: Unpack[TrainingOptions]) -> TrainingPlan:
    """Return what `train` does when it is called with the same arguments.

    Raises:
        UsageError, CorruptError, MissingError: see `train`.
    """
    if options.get("resume") is not None:
        return _plan_resume(recipe, options)
    plan = _plan_prior(recipe, options) if options.get("model") is not None else _plan_new(recipe, options)
    run = Run(plan.folder)
    if was_restarted() and run.recipe_file.exists():  # after a crash, torchrun runs the same command again
        return TrainingPlan(run.recipe(), plan.folder, resume=True)
    if environment_world().is_first:
        run.check_new(force=plan.force)
    return plan


def _plan_new(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan the training of a recipe."""
    if recipe is None:
        raise UsageError("which recipe?", hint=f"recipes: {', '.join(shipped_recipes())}; see cvae train --list")
    changes = _recipe_changes(options)
    if recipe.startswith("folder:"):
        if (data := options.get("data")) is not None:
            raise UsageError(f"{recipe} or --data {data}?", hint=f"a folder is learned by the recipe {FOLDER_RECIPE}")
        changes = {"name": short_name(recipe), "data.name": recipe} | changes
        recipe = FOLDER_RECIPE
    chosen = with_absolute_paths(load_recipe(recipe, changes, prior=options.get("prior")))
    return TrainingPlan(chosen, _folder(chosen, options), resume=False, force=options.get("force", False))


def _plan_prior(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan the training of a prior for a finished model."""
    model, prior = options.get("model"), options.get("prior")
    if recipe is not None or prior is None or model is None:
        raise UsageError(
            "--model takes a finished model, to fit a prior to", hint="cvae train --prior score --model MODEL"
        )
    start = find_model(model).resolve()
    chosen = recipe_for_prior(str(start), read_config(start), prior, _recipe_changes(options))
    folder = _folder(chosen, options)
    if start.is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} holds the model to start from", hint="choose another place with --out")
    return TrainingPlan(chosen, folder, resume=False, force=options.get("force", False))


def _plan_resume(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan to resume a run."""
    changes = _recipe_changes(options)
    fixed = (recipe, options.get("out"), options.get("force"), options.get("prior"), options.get("model"))
    if any(fixed) or changes.keys() - set(CHANGEABLE_ON_RESUME):
        raise UsageError(
            "--resume continues a run as it was started",
            hint=f"only these may change: {', '.join(CHANGEABLE_ON_RESUME)}",
        )
    folder = Path(options["resume"] or "")
    return TrainingPlan(Run(folder).recipe(changes), folder, resume=True)


def _recipe_changes(options: TrainingOptions) -> dict[str, Any]:
    """Return the changes to the recipe by dotted key, as `load_recipe` takes them."""
    data_dir = options.get("data_dir")
    values = {
        "data.name": options.get("data"),
        "data.size": options.get("size"),
        "data.condition": options.get("condition"),
        "data.dir": str(Path(data_dir).resolve()) if data_dir else None,
        "data.limit": options.get("limit"),
        "training.epochs": options.get("epochs"),
        "training.batch_size": options.get("batch_size"),
        "training.learning_rate": options.get("learning_rate"),
        "training.beta": options.get("beta"),
        "training.seed": options.get("seed"),
        "training.precision": options.get("precision"),
        "architecture.latent_dim": options.get("latent_dim"),
    }
    return {key: value for key, value in values.items() if value is not None} | dict(options.get("settings") or {})


def _folder(recipe: Recipe, options: TrainingOptions) -> Path:
    """Return the folder of a new run."""
    out = options.get("out")
    return Path(out) if out else Path("runs") / recipe.name
