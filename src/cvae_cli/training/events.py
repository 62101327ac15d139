"""The events that a training passes to its callback."""

from dataclasses import dataclass
from pathlib import Path

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.catalog import short_name
from cvae_cli.events import Event, Progress


@dataclass(frozen=True, kw_only=True)
class TrainingStart(Event):
    """The start of a training, or of its second stage, in which a prior is fitted.

    Attributes:
        recipe: all settings of this stage.
        run: the folder of this stage.
        training_images, validation_images: the sizes of the two parts of the data set.
        passes: passes over the training pictures in an epoch.
        parameters: the number of the model's parameters.
        flops: floating-point operations of one forward pass, for one image.
        device: the device that computes, as `cuda:0`.
    """

    recipe: Recipe
    run: Path
    training_images: int
    validation_images: int
    passes: int
    parameters: int
    flops: int
    device: str

    def __str__(self) -> str:
        passes = f" x {self.passes}" if self.passes > 1 else ""
        return (
            f"{self.recipe.name} on {short_name(self.recipe.data.name)} "
            f"({self.training_images:,}{passes} + {self.validation_images:,} for validation) · "
            f"{self.parameters / 1e6:.1f} M parameters · {self.flops / 1e6:.0f} MFLOP an image · "
            f"{self.device}, {self.recipe.training.precision} · {self.run}"
        )


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
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return f"{self.images_per_second:,.0f} img/s · {_format_losses(self.losses, 1)} · {minutes}:{seconds:02} left"


@dataclass(frozen=True, kw_only=True)
class EpochEnd(Event):
    """The end of an epoch.

    Attributes:
        epoch: the number of the epoch, from 1.
        epochs: how many epochs the training has.
        losses: means over the epoch, by name (see `Objective`).
        validation_rate, validation_distortion: means over the validation pictures, in nats an image, with the averaged
            weights if the training averages them.
        seconds: time since the start of the training.
        is_best: whether this epoch has the lowest -ELBO on the validation pictures so far.
    """

    epoch: int
    epochs: int
    losses: dict[str, float]
    validation_rate: float
    validation_distortion: float
    seconds: float
    is_best: bool

    @property
    def validation_negative_elbo(self) -> float:
        """-ELBO of the validation pictures, in nats an image."""
        return self.validation_rate + self.validation_distortion

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch:>2}/{self.epochs}  {_format_losses(self.losses, 2)} · "
            f"valid {self.validation_negative_elbo:.2f}{' *' if self.is_best else ''} · {self.seconds:,.0f} s"
        )


def _format_losses(losses: dict[str, float], digits: int) -> str:
    """Return the losses as a line of text; rate and distortion are shown as the bound they add up to."""
    if losses.keys() == {"rate", "distortion"}:
        parts = ", ".join(f"{name} {value:.{digits}f}" for name, value in losses.items())
        return f"-ELBO {sum(losses.values()):.{digits}f} ({parts})"
    return " · ".join(f"{name} {value:.4f}" for name, value in losses.items())
