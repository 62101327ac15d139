"""The events of a training, and the clock that times them."""

import time
from dataclasses import dataclass

from cvae_cli.events import Event, Progress
from cvae_cli.training.checkpoint import Position

_REPORT_EVERY = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class EpochProgress(Progress):
    """A moment inside an epoch.

    Attributes:
        epoch: which one, from 1.
        losses: means over the epoch so far, by name (see `Objective`).
        seconds_left: until the last epoch ends, at the present speed.
    """

    epoch: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float

    @property
    def detail(self) -> str:
        minutes, seconds = divmod(round(self.seconds_left), 60)
        return f"{self.images_per_second:,.0f} img/s · {_described(self.losses, 1)} · {minutes}:{seconds:02} left"


@dataclass(frozen=True)
class EpochEnd(Event):
    """The end of an epoch.

    Attributes:
        epoch: which one, from 1.
        losses: means over the epoch, by name (see `Objective`).
        valid_rate, valid_distortion: on the validation pictures, in nats an image; of the averaged weights where
            training averages them.
        seconds: since the training began.
        is_best: whether no epoch before had a lower -ELBO on the validation pictures.
    """

    epoch: int
    epochs: int
    losses: dict[str, float]
    valid_rate: float
    valid_distortion: float
    seconds: float
    is_best: bool

    @property
    def valid(self) -> float:
        """-ELBO on the validation pictures, in nats an image."""
        return self.valid_rate + self.valid_distortion

    def __str__(self) -> str:
        return (
            f"epoch {self.epoch:>2}/{self.epochs}  {_described(self.losses, 2)} · valid {self.valid:.2f}"
            f"{' *' if self.is_best else ''} · {self.seconds:,.0f} s"
        )


def _described(losses: dict[str, float], digits: int) -> str:
    """The losses as a line of text: rate and distortion as the bound that they add up to."""
    if losses.keys() == {"rate", "distortion"}:
        parts = ", ".join(f"{name} {value:.{digits}f}" for name, value in losses.items())
        return f"-ELBO {sum(losses.values()):.{digits}f} ({parts})"
    return " · ".join(f"{name} {value:.4f}" for name, value in losses.items())


class Clock:
    """Elapsed time, speed, and when the next event is due."""

    def __init__(self, position: Position, *, images_per_step: int, steps: int) -> None:
        self._started = time.perf_counter()
        self._earlier = position.seconds
        self._first_step = position.step
        self._images_per_step = images_per_step
        self._steps = steps
        self._reported = self._started

    def seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._started

    def event_is_due(self) -> bool:
        return time.perf_counter() - self._reported >= _REPORT_EVERY

    def progress(self, position: Position, epochs: int, batches: int, losses: dict[str, float]) -> EpochProgress:
        self._reported = time.perf_counter()
        speed = (position.step - self._first_step) / (self._reported - self._started)  # steps a second
        return EpochProgress(
            f"epoch {position.epoch + 1:>2}/{epochs}",
            position.batch,
            batches,
            epoch=position.epoch + 1,
            losses=losses,
            images_per_second=speed * self._images_per_step,
            seconds_left=(self._steps - position.step) / speed,
        )
