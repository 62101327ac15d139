"""Train a recipe with several seeds, a run for each: what is done is not done again."""

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

from cvae_cli.config.recipe import Recipe
from cvae_cli.errors import InterruptedRunError, UsageError
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models.seeds import seed_folder
from cvae_cli.runtime import launch
from cvae_cli.training.length import TrainingOptions
from cvae_cli.training.plan import TrainingPlan, plan_training
from cvae_cli.training.run import Run

if TYPE_CHECKING:
    from cvae_cli.training.train import TrainingResult

_MAX_SEEDS = 1000


def train_seeds(
    recipe: str | None = None,
    *,
    seeds: int,
    device: str = "auto",
    callback: Callback = ignore,
    **options: Unpack[TrainingOptions],
) -> "list[TrainingResult]":
    """Train a recipe with several seeds: `seed` (or that of the recipe) and the ones after it, one after the other.

        results = train_seeds("fashion-concat", seeds=3, epochs=5)
        scores = evaluate("runs/fashion-concat")    # mean and standard deviation over the three

    Each has a run of its own, `OUT/seed-0` and so on. A run that is finished is left as it is, and one that was stopped
    is resumed, so the same call goes on after Ctrl-C, or adds seeds.

    Args:
        recipe, device, callback: see `train`.
        seeds: how many.
        options: the other arguments of `train`, but for `resume` and `minutes`.

    Returns:
        What `train` returns, for each seed.

    Raises:
        UsageError: an argument cannot be used, or the folder of a seed holds a run with other settings.
        InterruptedRunError: Ctrl-C; everything is saved.
    """
    plans = plan_seeds(recipe, seeds, **options)
    for text in plans[0].notices:
        callback(Notice(text))
    return execute_plans(plans, device=device, callback=callback)


def plan_seeds(recipe: str | None, seeds: int | None, **options: Unpack[TrainingOptions]) -> list[TrainingPlan]:
    """Return the plan of each seed; without `seeds`, the one of `plan_training`.

    Raises:
        UsageError: see `train_seeds`.
    """
    if seeds is None:
        return [plan_training(recipe, **options)]
    _check(seeds, options)
    first = _recipe(recipe, options)
    folder = Path(options.get("out") or Path("runs") / first.name)
    if Run(folder).exists():
        raise UsageError(f"{folder} is a run of one seed", hint="choose another folder with --out")
    seed = first.training.seed
    return [_plan_one(recipe, seed_folder(folder, each), each, options) for each in range(seed, seed + seeds)]


def execute_plans(
    plans: Sequence[TrainingPlan], *, device: str = "auto", callback: Callback = ignore
) -> "list[TrainingResult]":
    """Train as planned, one after the other; a run that is finished is not trained again. See `train_seeds`."""
    from cvae_cli.training.train import execute_plan

    results = []
    for number, plan in enumerate(plans, 1):
        if len(plans) > 1 and plan.resume and (finished := _finished(plan)):
            callback(Notice(f"{plan.folder} is finished already"))
            results.append(finished)
            continue
        if len(plans) > 1:
            callback(Notice(f"seed {plan.recipe.training.seed}, {number} of {len(plans)}: {plan.folder}"))
        try:
            results.append(execute_plan(plan, device=device, callback=callback))
        except InterruptedRunError as error:
            if len(plans) > 1:
                error.add_hint("or go on with all seeds by the same command, without --force: what is finished stays")
            raise
    return results


def _check(seeds: int, options: TrainingOptions) -> None:
    if not 1 <= seeds <= _MAX_SEEDS:
        raise UsageError(f"--seeds must be from 1 to {_MAX_SEEDS:,}, not {seeds:,}")
    if options.get("resume") is not None:
        raise UsageError(
            "give either --resume or --seeds: a run has one seed",
            hint="to go on with all seeds, run the command that started them again",
        )
    if options.get("minutes") is not None:
        raise UsageError(
            "with --minutes each seed could train for another number of epochs", hint="give a number:  --epochs N"
        )
    if launch.rank_and_size() != (0, 1):
        raise UsageError(
            "several processes can only train one seed", hint="train each by itself:  --gpus N --seed S --out DIR"
        )


def _plan_one(recipe: str | None, folder: Path, seed: int, options: TrainingOptions) -> TrainingPlan:
    """Plan the run of one seed: a new one, or one that is there and has the same settings."""
    run = Run(folder)
    is_there = run.exists() and run.recipe_file.exists() and not options.get("force")
    given: TrainingOptions = {**options, "seed": seed, "out": folder}
    if not is_there:
        return plan_training(recipe, **given)
    planned, kept = _recipe(recipe, given), run.recipe()
    if _comparable(kept, planned) != _comparable(planned, planned):
        raise UsageError(
            f"{folder} holds a run with other settings", hint="choose another folder with --out, or start over: --force"
        )
    return plan_training(None, resume=folder, log=options.get("log"))


def _recipe(recipe: str | None, options: TrainingOptions) -> Recipe:
    """Return the recipe of a training, planned for a folder that there is not."""
    place: TrainingOptions = {**options, "out": Path(options.get("out") or "runs") / f"new-{os.urandom(4).hex()}"}
    return plan_training(recipe, **place).recipe


def _comparable(recipe: Recipe, planned: Recipe) -> dict[str, Any]:
    """The settings of a recipe, but for the precision where a run decides it itself."""
    settings = recipe.model_dump(mode="json")
    if planned.training.precision == "auto":
        settings["training"]["precision"] = "auto"
    return settings


def _finished(plan: TrainingPlan) -> "TrainingResult | None":
    """Return the result of a run that is finished, with all its stages; None if there is something left to do."""
    from cvae_cli.training.train import TrainingResult

    run, recipe = Run(plan.folder), plan.recipe
    while True:
        history = _history(run)
        if len(history) < recipe.training.epochs or not run.kept_model.is_dir():
            return None
        if not recipe.then:
            best = min(each["valid"]["negative_elbo"] for each in history)
            return TrainingResult(plan.folder, run.kept_model, plan.recipe, best, history)
        run = run.next_stage(recipe)
        if not run.recipe_file.exists():
            return None
        recipe = run.recipe()


def _history(run: Run) -> list[dict[str, Any]]:
    try:
        return [json.loads(line) for line in run.metrics_file.read_text("utf-8").splitlines()]
    except (OSError, ValueError):
        return []
