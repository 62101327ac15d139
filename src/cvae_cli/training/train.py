"""Train a model, from a recipe to a model folder: what `cvae train` does, as a function."""

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.dataset import Dataset
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.pretrained import weights_sha256
from cvae_cli.runtime.device import count_flops, pick_device
from cvae_cli.runtime.distributed import World, environment_world, local_device, process_group
from cvae_cli.runtime.meeting import remember
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.closest import closest
from cvae_cli.training.data import load_training_data, passes_per_epoch, steps_per_epoch
from cvae_cli.training.data_record import check_data, record_data
from cvae_cli.training.events import TrainingStart
from cvae_cli.training.fit import fit
from cvae_cli.training.plan import TrainingPlan, plan_training
from cvae_cli.training.precision import with_precision
from cvae_cli.training.run import Run
from cvae_cli.training.tensorboard import logged
from cvae_cli.training.time_plan import plan_for


@dataclass(frozen=True)
class TrainingResult:
    """A finished training.

    Attributes:
        run: the folder of the run.
        model: the folder of the model that was kept.
        recipe: all settings.
        best_negative_elbo: the lowest -ELBO on the validation pictures, in nats a picture.
        history: the metrics of each epoch, as in `metrics.jsonl`. This and `best_negative_elbo` are of the last
            stage.
    """

    run: Path
    model: Path
    recipe: Recipe
    best_negative_elbo: float
    history: list[dict[str, Any]]

    def load(self, *, device: str | torch.device = "cpu") -> CVAE:
        """Load the model that was kept."""
        return CVAE.from_pretrained(self.model, device=device)


def train(
    recipe: str | None = None,
    *,
    resume: str | Path | None = None,
    data: str | None = None,
    data_dir: str | Path | None = None,
    size: int | None = None,
    condition: str | None = None,
    out: str | Path | None = None,
    epochs: int | None = None,
    minutes: float | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    latent_dim: int | None = None,
    beta: float | None = None,
    seed: int | None = None,
    precision: str | None = None,
    limit: int | None = None,
    stream: bool = False,
    prior: str | None = None,
    tune: str | None = None,
    model: str | Path | None = None,
    settings: Mapping[str, Any] | None = None,
    force: bool = False,
    log: str | None = None,
    device: str | torch.device = "auto",
    callback: Callback = ignore,
) -> TrainingResult:
    """Train a model by a recipe, or resume a training.

        result = train("fashion-concat", epochs=5)
        pictures = result.load().generate("a red summer dress", n=4)

    An argument that is None leaves the recipe's own setting. Ctrl-C stops the training after the current step; nothing
    is lost, and `train(resume=FOLDER)` continues to the same weights. Under torchrun, several processes share each
    batch, and only the first one gets events.

    Args:
        recipe: a recipe by name, a TOML file, `folder:PATH` or `webdataset:PATTERN`.
        resume: the folder of a run to resume. Only `epochs`, `learning_rate`, `data_dir` and the setting
            `training.gradient_clip` may be changed.
        data: the data set to train on instead of the recipe's: a name, `folder:PATH` or `webdataset:PATTERN`.
        data_dir: a folder with the published files of the data set, used instead of the cache.
        size: the side length of the pictures, in pixels.
        condition: what pictures are conditioned on: `labels`, or captions through a text encoder (`static`, `clip`,
            `clip:ARCHITECTURE/TAG`, `clip:FOLDER`).
        out: the folder of the run; `runs/RECIPE` by default.
        epochs: passes over the training pictures; further stages get as many as fit to it.
        minutes: train for so long, all stages together, instead of for a number of epochs. How many epochs and steps
            that makes is measured once, at the start, and kept in the run's recipe.
        batch_size: pictures in a step, over all processes.
        learning_rate: of the model's optimizer.
        latent_dim: numbers in a latent.
        beta: the weight of the rate (the KL divergence); 1 is the true bound.
        seed: the seed of all random numbers.
        precision: `auto`, `fp32` or `bf16`.
        limit: use only so many pictures, the first ones or the first ones of each class, in epochs that are not longer.
        stream: read shards (`webdataset:PATTERN`) while training, instead of preparing them in the cache.
        prior: fit a prior in a second stage: `flow` or `score`; `none` leaves out the recipe's own.
        tune: the part of `model` that is trained on, `network`, `decoder`, `prior`, `guidance` or `steps`; all else
            stays as it is, to the bit.
        model: a finished model, to fit a `prior` to, to `tune`, or to start from when a folder is learned.
        settings: new values for any other settings of the recipe by dotted key, as `{"training.ema_decay": 0.99}`.
        force: start over in a folder that already holds a run.
        log: `tensorboard` writes the numbers and pictures of each epoch to event files in `tensorboard/` of the run
            too. A log that a run has is continued when the run is resumed.
        device: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        callback: called with each event: `Summary`, `TrainingStart`, `EpochProgress`, `EpochEnd`, `Progress` and
            `Notice`.

    Raises:
        UsageError: an argument cannot be used as given, or the folder holds another run.
        MissingError: data, a model or a text encoder cannot be downloaded.
        CorruptError: a file is damaged.
        DivergedError: the loss is not finite or far too large; the last good checkpoint is kept.
        InterruptedRunError: Ctrl-C; everything is saved.
    """
    plan = plan_training(
        recipe,
        resume=resume,
        data=data,
        data_dir=data_dir,
        size=size,
        condition=condition,
        out=out,
        epochs=epochs,
        minutes=minutes,
        batch_size=batch_size,
        learning_rate=learning_rate,
        latent_dim=latent_dim,
        beta=beta,
        seed=seed,
        precision=precision,
        limit=limit,
        stream=stream,
        prior=prior,
        tune=tune,
        model=model,
        settings=settings,
        force=force,
        log=log,
    )
    for text in plan.notices:
        callback(Notice(text))
    return execute_plan(plan, device=device, callback=callback)


def execute_plan(
    plan: TrainingPlan, *, device: str | torch.device = "auto", callback: Callback = ignore
) -> TrainingResult:
    """Train as planned; see `train`."""
    if not environment_world().is_first:
        return _execute(plan, device, ignore)
    with logged(callback) if plan.log else contextlib.nullcontext(callback) as listener:
        return _execute(plan, device, listener)


def _execute(plan: TrainingPlan, device: str | torch.device, callback: Callback) -> TrainingResult:
    run, local = Run(plan.folder), pick_device(local_device(str(device)))
    callback(Progress("reading the data", 0, None))
    train, validation = load_training_data(plan.recipe, local, callback=callback)
    if plan.resume:
        check_data(run, train, validation, callback)
    with process_group(local) as world, run.lock() if world.is_first else contextlib.nullcontext():
        plan = world.broadcast(plan)  # one process decides for all
        recipe, resume = plan.recipe, plan.resume
        if plan.alternatives:
            recipe = closest((recipe, *plan.alternatives), validation, local, callback)
        recipe = world.broadcast(with_precision(recipe, train, local, callback) if world.is_first else recipe)
        if plan.minutes is not None:
            recipe = plan_for(plan.minutes, recipe, train, validation, local, callback)
        if not resume:
            _create_run(run, recipe, world, force=plan.force)
        if world.is_first:
            record_data(run, train, validation)
        state = _run_stage(run, recipe, train, validation, local, resume=resume, callback=callback)
        # The further stages, each of which trains the model of the one before it.
        stage = recipe
        while stage.then:
            world.barrier()
            run, following = run.next_stage(stage), _next_recipe(run, stage)
            # What was trained on another version of the model does not fit this one: it is trained again.
            resume = run.recipe_file.exists() and run.recipe().start_sha256 == following.start_sha256
            world.barrier()
            if not resume:
                _create_run(run, following, world, force=True)
            stage = run.recipe()
            state = _run_stage(run, stage, train, validation, local, resume=resume, callback=callback)
    assert state.best is not None
    return TrainingResult(plan.folder, run.kept_model, recipe, state.best, state.history)


def _next_recipe(run: Run, recipe: Recipe) -> Recipe:
    """Return the recipe of the stage that follows a finished one."""
    following = recipe.next_stage(run.kept_model.resolve(), weights_sha256(run.kept_model))
    assert following is not None
    return following


def _create_run(run: Run, recipe: Recipe, world: World, *, force: bool) -> None:
    """Create a run in the first process while the others wait."""
    if world.is_first:
        run.create(recipe, force=force)
        remember(f"train {run.folder.resolve()}")
    world.barrier()


def _run_stage(
    run: Run,
    recipe: Recipe,
    train: Dataset,
    validation: Dataset,
    device: torch.device,
    *,
    resume: bool,
    callback: Callback,
) -> TrainerState:
    """Announce one stage and train it."""
    callback(Progress("preparing the first step", 0, None))
    model = build_model(recipe, train.name, train.image_shape, condition_config(train)).eval()
    shape = train.image_shape
    image = torch.zeros(1, shape.channels, shape.size, shape.size)
    condition = torch.from_numpy(train.conditions.values(np.arange(1)))
    start = TrainingStart(
        recipe=recipe,
        run=run.folder,
        training_images=train.pictures,
        validation_images=len(validation),
        passes=passes_per_epoch(recipe, train),
        steps=steps_per_epoch(recipe, train),
        parameters=sum(parameter.numel() for parameter in model.parameters()),
        flops=count_flops(model.elbo, image, condition),
        device=str(device),
    )
    callback(start)
    return fit(run, recipe, train, validation, device=device, resume=resume, callback=callback)
