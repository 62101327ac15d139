"""How far a training is: what its listener is told, and when."""

import time
from dataclasses import dataclass
from typing import Protocol

from cvae_cli.training.checkpoint import Position

_REPORT_EVERY = 0.2  # seconds


@dataclass(frozen=True, kw_only=True)
class Progress:
    """A moment inside an epoch. Losses are means over the epoch so far, by name (see `Objective`)."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    losses: dict[str, float]
    images_per_second: float
    seconds_left: float


@dataclass(frozen=True, kw_only=True)
class EpochResult:
    """An epoch's end; the validation bound is that of the averaged weights where there is an average."""

    epoch: int
    epochs: int
    losses: dict[str, float]
    valid_rate: float
    valid_distortion: float
    seconds: float
    is_best: bool

    @property
    def valid(self) -> float:
        return self.valid_rate + self.valid_distortion


class Listener(Protocol):
    """Told how training goes."""

    def progress(self, progress: Progress) -> None: ...

    def epoch_done(self, result: EpochResult) -> None: ...


class Clock:
    """Elapsed time, speed, and when the next report is due."""

    def __init__(self, position: Position, *, images_per_step: int, steps: int) -> None:
        self._started = time.perf_counter()
        self._earlier = position.seconds
        self._first_step = position.step
        self._images_per_step = images_per_step
        self._steps = steps
        self._reported = self._started

    def seconds(self) -> float:
        return self._earlier + time.perf_counter() - self._started

    def report_is_due(self) -> bool:
        return time.perf_counter() - self._reported >= _REPORT_EVERY

    def progress(self, position: Position, epochs: int, batches: int, losses: dict[str, float]) -> Progress:
        self._reported = time.perf_counter()
        speed = (position.step - self._first_step) / (self._reported - self._started)  # steps a second
        return Progress(
            epoch=position.epoch + 1,
            epochs=epochs,
            batch=position.batch,
            batches=batches,
            losses=losses,
            images_per_second=speed * self._images_per_step,
            seconds_left=(self._steps - position.step) / speed,
        )
