"""The time that a training takes: elapsed time, speed, and time left."""

import time

from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.events import EpochProgress

_REPORT_INTERVAL = 0.2  # seconds between progress events


class Clock:
    """Measures the time and the speed of a training.

    Args:
        state: where the training starts or resumes.
        images_per_step: the batch size, over all processes.
        total_steps: steps of all epochs.
    """

    def __init__(self, state: TrainerState, *, images_per_step: int, total_steps: int) -> None:
        self._started = time.perf_counter()
        self._last_report = self._started
        self._speed_since = self._started
        self._earlier_seconds = state.seconds
        self._first_step = state.step
        self._images_per_step = images_per_step
        self._total_steps = total_steps

    def seconds(self) -> float:
        """Return the time spent training, with that before an interruption."""
        return self._earlier_seconds + time.perf_counter() - self._started

    def measure_speed_from(self, step: int) -> None:
        """Measure the speed from now on: what came before, such as compiling, will not come again."""
        self._last_report = self._speed_since = time.perf_counter()
        self._first_step = step

    def is_report_due(self) -> bool:
        """Return whether the last progress event is long enough ago for another."""
        return time.perf_counter() - self._last_report >= _REPORT_INTERVAL

    def progress(self, state: TrainerState, epochs: int, batches: int, losses: dict[str, float]) -> EpochProgress:
        """Return the progress event for the present state.

        Args:
            epochs: epochs of the training.
            batches: batches of an epoch.
            losses: means over the epoch so far.
        """
        self._last_report = time.perf_counter()
        steps_per_second = (state.step - self._first_step) / (self._last_report - self._speed_since)
        return EpochProgress(
            task=f"epoch {state.epoch + 1:>2}/{epochs}",
            done=state.batch,
            total=batches,
            epoch=state.epoch + 1,
            losses=losses,
            images_per_second=steps_per_second * self._images_per_step,
            seconds_left=(self._total_steps - state.step) / steps_per_second,
        )
