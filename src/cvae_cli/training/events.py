"""The events that a training passes to its callback."""

from dataclasses import dataclass
from pathlib import Path

from cvae_cli.config.recipe import Recipe, Stage
from cvae_cli.data.catalog import short_name
from cvae_cli.events import Event, Progress


@dataclass(frozen=True, kw_only=True)
class TrainingStart(Event):
    """The start of a training, or of one of its further stages.

    Attributes:
        recipe: all settings of this stage.
        run: the folder of this stage.
        training_images, validation_images: the sizes of the two parts of the data set.
        passes: passes over the training pictures in an epoch.
        steps: steps in an epoch.
        parameters: the number of the model's parameters.
        flops: floating-point operations of one forward pass, for one image.
        device: the device that computes, as `cuda:0`.
    """

    recipe: Recipe
    run: Path
    training_images: int
    validation_images: int
    passes: int
    steps: int
    parameters: int
    flops: int
    device: str

    def __str__(self) -> str:
        recipe, training = self.recipe, self.recipe.training
        does = "learns from" if recipe.start is None else "fits a prior to the latents of"
        does = f"trains its {recipe.tune} on" if recipe.tune else does
        steps, passes = count(self.steps, "step"), f"{self.passes} passes" if self.passes > 1 else "one pass"
        epoch = f"{steps} of {training.batch_size}" if training.steps else f"{passes} over the pictures in {steps}"
        lines = [
            f"{recipe.name}: {does} {self.training_images:,} pictures of {short_name(recipe.data.name)}, "
            f"validates on {self.validation_images:,}",
            f"{count(training.epochs, 'epoch')}{', each' if training.epochs > 1 else ':'} {epoch}",
            f"{_large(self.parameters)} parameters, {self.flops / 1e6:.0f} MFLOP a picture; "
            f"{training.precision} on {self.device}",
            f"run: {self.run}",
        ]
        then = [f"{describe(stage)}, {count(stage.training.epochs, 'epoch')}" for stage in recipe.then]
        if then:
            lines.append(f"afterwards: {'; '.join(then)}")
        return "\n  ".join(line.replace("\n", "\\n") for line in lines)  # a name may have a line break


@dataclass(frozen=True, kw_only=True)
class EpochProgress(Progress):
    """How far an epoch is.

    Attributes:
        epoch: the number of the epoch, from 1.
        losses: means over the epoch so far, by name (see `Objective`).
        seconds_left: estimated time until the last epoch ends.
    """

    epoch: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float

    @property
    def detail(self) -> str:
        loss = _format_losses(self.losses).partition(" (")[0]
        return f"{loss} · {self.images_per_second:,.0f} img/s · {duration(self.seconds_left)} left"


@dataclass(frozen=True, kw_only=True)
class EpochEnd(Event):
    """The end of an epoch.

    Attributes:
        epoch: the number of the epoch, from 1.
        epochs: how many epochs the training has.
        losses: means over the epoch, by name (see `Objective`).
        validation_rate, validation_distortion: means over the validation pictures, in nats a picture, with the averaged
            weights if the training averages them.
        epoch_seconds: the time that this epoch took.
        seconds: time since the start of the training.
        is_best: whether this epoch has the lowest -ELBO on the validation pictures so far.
    """

    epoch: int
    epochs: int
    losses: dict[str, float]
    validation_rate: float
    validation_distortion: float
    epoch_seconds: float
    seconds: float
    is_best: bool

    @property
    def validation_negative_elbo(self) -> float:
        """-ELBO of the validation pictures, in nats a picture."""
        return self.validation_rate + self.validation_distortion

    def __str__(self) -> str:
        validation = "validation" if "rate" in self.losses else "validation -ELBO"
        return (
            f"epoch {self.epoch:>2}/{self.epochs} in {duration(self.epoch_seconds)}: {_format_losses(self.losses)}, "
            f"{validation} {_number(self.validation_negative_elbo)}{', the best yet' if self.is_best else ''}"
        )


def duration(seconds: float) -> str:
    """Return a time as people say it: `0.8 s`, `42 s`, `3:05 min` or `2:10 h`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    unit, size = ("min", 60) if seconds < 3600 else ("h", 3600)
    return f"{seconds // size}:{seconds % size * 60 // size:02} {unit}"


def describe(stage: Stage) -> str:
    """Return what a further training does, in words."""
    return f"its {stage.tune}" if stage.tune else "a prior"


def count(number: int, noun: str) -> str:
    """Return a number with its noun: `1 epoch`, `12 epochs`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _format_losses(losses: dict[str, float]) -> str:
    """Return the losses as text; the bound is shown with the rate, and the distortion is the rest of it."""
    others = [f"{name} {_number(value)}" for name, value in losses.items() if name not in {"rate", "distortion"}]
    if "rate" not in losses:
        return ", ".join(others)
    bound = f"-ELBO {_number(losses['rate'] + losses['distortion'])} (rate {_number(losses['rate'])})"
    return ", ".join([bound, *others])


def _large(number: int) -> str:
    return f"{number:,}" if number < 1e6 else f"{number / 1e6:.1f} M"


def _number(value: float) -> str:
    """Return a number of nats with the digits that matter."""
    return f"{value:.{3 if abs(value) < 10 else 2 if abs(value) < 1000 else 0}f}"
