"""Plan a training for a given time: measure how fast this machine is, once, and choose the epochs and their steps."""

import itertools
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from cvae_cli.config.recipe import Recipe, TrainingSettings
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.runtime.distributed import get_world
from cvae_cli.training.data import steps_per_epoch
from cvae_cli.training.events import count, describe, duration
from cvae_cli.training.fit import take_step
from cvae_cli.training.run import Run
from cvae_cli.training.trainer import Trainer

_SHARE = 0.03  # of the time that is spent on measuring a stage
_LEAST, _MOST = 1.0, 15.0  # seconds of it
_MOST_SHARE = 0.2  # of the time, which measuring may take from the training; a very short one lasts longer instead
_WARM_UP = 2  # steps that are not measured: the first ones are slower
_TOO_LONG = 1.2  # times the time that was asked for, from which on it is said
_STEPS, _ENDS = 10, 6  # an epoch takes at least as long as so many steps, and as so many ends of an epoch


@dataclass(frozen=True)
class Pace:
    """How long the parts of one stage take, in seconds.

    Attributes:
        start: before the first step, where a prior's latents are encoded.
        step: one step.
        end: validation and saving at the end of an epoch.
    """

    start: float
    step: float
    end: float

    def schedule(self, seconds: float, most_epochs: int) -> tuple[int, int]:
        """Return the number of epochs, and of steps in each, that take `seconds` without the start."""
        shortest = max(_STEPS * self.step, _ENDS * self.end) + self.end
        epochs = max(1, min(most_epochs, int(seconds / shortest)))
        return epochs, max(1, round((seconds / epochs - self.end) / self.step))

    def seconds(self, epochs: int, steps: int) -> float:
        """Return the time that so many epochs take, without the start."""
        return epochs * (steps * self.step + self.end)


def plan_for(
    minutes: float, recipe: Recipe, train: Dataset, validation: Dataset, device: torch.device, callback: Callback
) -> Recipe:
    """Return the recipe with epochs and steps that take so many minutes on this machine, all stages together.

    The stages share the time as the recipe's own epochs do. All processes must call this together.

    Args:
        minutes: the time of the training, with this measurement.
    """
    started = time.perf_counter()
    callback(Progress("measuring the speed of this machine", 0, None))
    stages = recipe.stages()
    longest = min(max(_SHARE * 60 * minutes, _LEAST), _MOST)
    paces = [_measure(stage, train, validation, device, longest) for stage in stages]
    whole = [
        pace.seconds(stage.training.epochs, steps_per_epoch(stage, train))
        for stage, pace in zip(stages, paces, strict=True)
    ]
    measuring = min(time.perf_counter() - started, _MOST_SHARE * 60 * minutes)
    left = 60 * minutes - measuring - sum(pace.start for pace in paces)
    trainings = [
        _with_schedule(stage.training, *pace.schedule(left * part / sum(whole), stage.training.epochs))
        for stage, pace, part in zip(stages, paces, whole, strict=True)
    ]
    _tell(minutes, recipe, trainings, paces, callback)
    then = tuple(
        # the stage still takes the precision of the one before it
        stage.model_copy(update={"training": training.model_copy(update={"precision": stage.training.precision})})
        for stage, training in zip(recipe.then, trainings[1:], strict=True)
    )
    return get_world().broadcast(recipe.model_copy(update={"training": trainings[0], "then": then}))


def _with_schedule(training: TrainingSettings, epochs: int, steps: int) -> TrainingSettings:
    """Return the settings with another length. The warm-up keeps its part of the training."""
    warmup = training.beta_warmup_epochs * epochs / training.epochs
    return training.model_copy(update={"epochs": epochs, "steps": steps, "beta_warmup_epochs": warmup})


def _tell(
    minutes: float, recipe: Recipe, trainings: list[TrainingSettings], paces: list[Pace], callback: Callback
) -> None:
    """Say what is planned, and if even that takes longer."""
    each = [
        f"{count(training.epochs, 'epoch')} of {count(training.steps or 1, 'step')} "
        f"({training.batch_size / pace.step:,.0f} img/s)"
        for training, pace in zip(trainings, paces, strict=True)
    ]
    afterwards = [f"; then {describe(stage)}: {text}" for stage, text in zip(recipe.then, each[1:], strict=True)]
    callback(Notice(f"planned for {duration(60 * minutes)}: {each[0]}{''.join(afterwards)}"))
    planned = sum(
        pace.start + pace.seconds(training.epochs, training.steps or 1)
        for training, pace in zip(trainings, paces, strict=True)
    )
    if planned > _TOO_LONG * 60 * minutes:
        text = f"{duration(60 * minutes)} is too short: on this machine the shortest training takes {duration(planned)}"
        callback(Notice(text, is_warning=True))


def _measure(recipe: Recipe, train: Dataset, validation: Dataset, device: torch.device, seconds: float) -> Pace:
    """Train a model that is thrown away, for about so many seconds, and return its pace as the first process saw it."""
    world, size = get_world(), recipe.training.batch_size
    few, some = train if train.stream else train.limit(max(size, 64)), validation.limit(size)
    # a learning rate with which nothing can diverge; steps that fill their batches, as those of the whole training
    settings = recipe.training.model_copy(update={"epochs": 1, "steps": 8, "learning_rate": 1e-9})
    recipe = recipe.model_copy(update={"training": settings})
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(Run(Path(folder)), recipe, few, some, device=device, resume=False, callback=ignore)
        begun = time.perf_counter()
        trainer.make_batches()
        start = (time.perf_counter() - begun) * train.pictures / few.pictures
        step = _time_steps(trainer, seconds)
        with trainer.ema.applied():
            evaluate_bound(trainer.model, trainer.validation_batches)  # the first is slower
            begun = time.perf_counter()
            evaluate_bound(trainer.model, trainer.validation_batches)
            picture = (time.perf_counter() - begun) / len(some)
        begun = time.perf_counter()
        trainer.end_epoch()
        trainer.save_checkpoint()
        end = time.perf_counter() - begun + picture * (len(validation) - len(some))
    return world.broadcast(Pace(start, step, end))


def _time_steps(trainer: Trainer, seconds: float) -> float:
    """Return the mean time of a step. All processes take the same number of steps."""
    trainer.start_epoch()
    batches = (batch for epoch in itertools.count() for batch in trainer.batches.epoch(epoch))
    begun = 0.0
    for taken in itertools.count(1 - _WARM_UP):
        take_step(trainer, *next(batches))
        trainer.epoch_losses.sums()  # waits for a GPU
        now = time.perf_counter()
        if taken <= 0:
            begun = now
        elif trainer.world.broadcast(taken >= 3 and now - begun > seconds):
            break
    return (now - begun) / taken
