"""Plan a training: which recipe, which folder, new or resumed. Nothing is loaded or written."""

import os
import shlex
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

from cvae_cli.config.catalog import shipped_recipes
from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe, recipe_for_prior, recipe_for_tuning
from cvae_cli.data import catalog as data_catalog
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import find_model, read_config, training_data
from cvae_cli.runtime import launch
from cvae_cli.runtime.meeting import was_done
from cvae_cli.text import catalog as text_catalog
from cvae_cli.training.length import TrainingOptions, check_minutes, scaled, scaling_notices
from cvae_cli.training.run import Run, with_absolute_paths
from cvae_cli.training.start import (
    FROM_A_MODEL,
    FROM_NOTHING,
    NOTHING,
    check_pictures,
    choose_recipe,
    possible_starts,
    settings_of_start,
    untaught_inputs,
)
from cvae_cli.training.tensorboard import INSTALL, LOGS, check_log, is_installed

CHANGEABLE_ON_RESUME = ("training.epochs", "training.learning_rate", "training.gradient_clip", "data.dir")
"""The settings that may change when a run is resumed."""
_UNTAUGHT = {
    "guidance": "the prior has guidance as an input, which this training does not teach it: draw with --guidance 1",
    "steps": "the prior has the length of its steps as an input, which this training does not teach it: it needs many",
}


@dataclass(frozen=True)
class TrainingPlan:
    """A training that has not started yet.

    Attributes:
        recipe: all settings.
        folder: the folder of the run.
        resume: whether the run exists already and is resumed.
        force: whether another run in the folder is removed.
        minutes: the time to train for; the epochs are planned when the training starts.
        log: where the training is logged besides its own files: `tensorboard`, or None.
        alternatives: the recipe with other models to start from, one of which may describe the pictures better.
        notices: what the user should know about the settings.
    """

    recipe: Recipe
    folder: Path
    resume: bool
    force: bool = False
    minutes: float | None = None
    log: str | None = None
    alternatives: tuple[Recipe, ...] = ()
    notices: tuple[str, ...] = ()

    def describe(self) -> list[str]:
        """Return what the training would do, in lines for the user."""
        lines = [f"{self.recipe.name} would learn {self.recipe.data.name} in {self.folder}"]
        if self.minutes:
            lines = [f"the epochs that take {self.minutes:g} minutes are planned when the training starts", *lines]
        return lines


def plan_training(recipe: str | None = None, **options: Unpack[TrainingOptions]) -> TrainingPlan:
    """Return what `train` does when it is called with the same arguments.

    Raises:
        UsageError, CorruptError, MissingError: see `train`.
    """
    log = options.get("log")
    if log is not None:
        check_log(log)
    plan = _plan(recipe, options)
    if log is None and plan.resume and Run(plan.folder).log_folder.is_dir():
        log = LOGS[0]
    return _with_log(plan, log)


def _with_log(plan: TrainingPlan, log: str | None) -> TrainingPlan:
    """Say where the log is. One that a run has already goes on when the run does."""
    if log is None:
        return plan
    folder = Run(plan.folder).log_folder
    if not is_installed():
        ends = f"{folder} ends here: tensorboard is not installed ({INSTALL})"
        return replace(plan, notices=(*plan.notices, ends))
    look = f"log: {folder}; look at it with  tensorboard --logdir {shlex.quote(str(plan.folder))}"
    return replace(plan, log=log, notices=(*plan.notices, look))


def _plan(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan a new training, or one that is resumed."""
    if options.get("resume") is not None:
        return _plan_resume(recipe, options)
    finetunes = recipe is not None and (data_catalog.is_place(recipe) or recipe == FROM_A_MODEL)
    has_start = options.get("tune") is not None or (options.get("model") is not None and not finetunes)
    plan = _plan_start(recipe, options) if has_start else _plan_new(recipe, options)
    _check_names(plan.recipe)
    run = Run(plan.folder)
    if launch.rank_and_size()[0] == 0:  # which decides for all
        if os.path.exists(run.recipe_file) and was_done(f"train {run.folder.resolve()}"):
            # a process or a machine has died, and torchrun runs the same command again
            return TrainingPlan(run.recipe(), plan.folder, resume=True)
        run.check_new(force=plan.force)
    return plan


def _plan_new(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan the training of a recipe."""
    if recipe is None:
        raise UsageError("say which recipe", hint=f"recipes: {', '.join(shipped_recipes())}; see cvae train --list")
    changes, notices = _recipe_changes(options), tuple[str, ...]()
    if (model := options.get("model")) is not None:
        changes["start"] = str(model)
    if data_catalog.is_place(recipe):
        if (data := options.get("data")) is not None:
            raise UsageError(f"give either {recipe} or --data {data}", hint=f"{recipe} is the data itself")
        changes = {"name": data_catalog.short_name(recipe), "data.name": recipe} | changes
        recipe, notices = choose_recipe(recipe, changes, prior=options.get("prior"))
    prior = options.get("prior")
    own = load_recipe(recipe, prior=prior)
    if changes.get("start") == NOTHING:
        if own.start is not None:
            hint = f"learn from nothing:  cvae train {FROM_NOTHING} --data folder:PATH"
            raise UsageError(f"the recipe {own.name} trains a finished model further", hint=hint)
        changes["start"] = None
    chosen = []
    for start in possible_starts(changes.get("start", own.start)):
        decided = settings_of_start(start, changes)
        whole = scaled(own, options) | {**decided, **changes, **decided}  # changes to parts of it come later
        chosen.append(with_absolute_paths(load_recipe(recipe, whole, prior=prior)))
        if start is not None:
            check_pictures(chosen[-1], called=start)
    notices = (*notices, *scaling_notices(own, chosen[0], options))
    return replace(_new_plan(chosen[0], options, notices=notices), alternatives=tuple(chosen[1:]))


def _check_names(recipe: Recipe) -> None:
    """Raise a UsageError if a name is wrong, before the import of torch that all other checks need."""
    data_catalog.check_known(recipe.data.name)
    if recipe.data.condition not in {None, "labels"}:
        text_catalog.check_known(recipe.data.condition)


def _plan_start(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan the training of a prior for a finished model, or of a part of that model."""
    model, prior, tune = options.get("model"), options.get("prior"), options.get("tune")
    if recipe is not None or model is None or (prior is None) == (tune is None):
        raise UsageError(
            "--model takes a finished model, to fit a prior to or to tune",
            hint="cvae train --prior score --model MODEL\ncvae train --tune decoder --model MODEL\n"
            "cvae train folder:PATH --model MODEL",
        )
    start = find_model(model).resolve()
    config, changes = read_config(start), _recipe_changes(options)
    if "data.name" not in changes:
        training_data(config, option="--data")
    if tune is not None:
        chosen = recipe_for_tuning(str(start), config, tune, changes)
    else:
        assert prior is not None
        chosen = recipe_for_prior(str(start), config, prior, changes)
    check_pictures(chosen, called=model)
    folder = _folder(chosen, options)
    if start.is_relative_to(folder.resolve()):
        raise UsageError(f"{folder} holds the model to start from", hint="choose another folder with --out")
    return _new_plan(chosen, options)


def _new_plan(recipe: Recipe, options: TrainingOptions, notices: tuple[str, ...] = ()) -> TrainingPlan:
    check_minutes(recipe, options)
    if recipe.training.is_hybrid:
        notices = (*notices, "the model will be a hybrid, no pure CVAE: its loss has a term besides the bound")
    notices = (*notices, *(_UNTAUGHT[part] for part in untaught_inputs(recipe)))
    return TrainingPlan(
        recipe,
        _folder(recipe, options),
        resume=False,
        force=options.get("force", False),
        minutes=options.get("minutes"),
        notices=notices,
    )


def _plan_resume(recipe: str | None, options: TrainingOptions) -> TrainingPlan:
    """Plan to resume a run."""
    changes = _recipe_changes(options)
    fixed = [recipe, *(options.get(name) for name in ("out", "force", "prior", "tune", "model", "minutes"))]
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
        "data.stream": options.get("stream") or None,
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
