"""The log of a training for TensorBoard: event files with what `metrics.jsonl` and `samples/` have.

A log is a callback: it listens to the events of the training, and the training knows nothing of it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cvae_cli.errors import MissingError, UsageError, did_you_mean
from cvae_cli.evaluation.history import Epoch, read_epochs
from cvae_cli.events import Callback, Event
from cvae_cli.training.contents import is_event_file
from cvae_cli.training.events import EpochEnd, TrainingStart
from cvae_cli.training.run import Run

LOGS = ("tensorboard",)
"""The names for `--log`."""
INSTALL = 'pip install "cvae-cli[tensorboard]"'


def check_log(name: str) -> None:
    """Check that a training can be logged, before it starts.

    Raises:
        UsageError: there is no such log.
        MissingError: its package is not installed.
    """
    if name not in LOGS:
        raise UsageError(f'no log "{name}".{did_you_mean(name, LOGS)}', hint=f"logs: {', '.join(LOGS)}")
    if not is_installed():
        raise MissingError("tensorboard is not installed", hint=INSTALL)


def is_installed() -> bool:
    """Whether event files can be written."""
    return find_spec("tensorboard") is not None


@contextmanager
def logged(callback: Callback) -> Iterator[Callback]:
    """Yield a callback that writes a training's log, and passes each event on."""
    log = _Log(callback)
    try:
        yield log
    finally:
        log.close()


class _Log:
    """The log of each stage, in its own folder."""

    def __init__(self, callback: Callback) -> None:
        self._callback = callback
        self._stage: _StageLog | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, TrainingStart):
            self.close()
            self._stage = _StageLog(Run(event.run))
        elif isinstance(event, EpochEnd) and self._stage is not None:
            self._stage.update()
        self._callback(event)

    def close(self) -> None:
        if self._stage is not None:
            self._stage.writer.close()
            self._stage = None


class _StageLog:
    """The log of one stage. Like `metrics.jsonl` it is written anew by a training that is resumed.

    So it has each epoch once, also those before the log was asked for.
    """

    def __init__(self, run: Run) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._run = run
        epochs = read_epochs(run.folder)
        _remove_event_files(run.log_folder)
        self.writer = SummaryWriter(str(run.log_folder))
        self._start = time.time() - (epochs[-1].seconds if epochs else 0)  # the pauses of a training take no time
        self._written = 0
        self.writer.add_text("recipe", f"```toml\n{run.recipe_file.read_text(encoding='utf-8')}\n```")
        self.update()

    def update(self) -> None:
        """Write the epochs that are not in the log yet."""
        for epoch in read_epochs(self._run.folder)[self._written :]:
            self._write(epoch)
            self._written += 1
        self.writer.flush()

    def _write(self, epoch: Epoch) -> None:
        time_of_end = self._start + epoch.seconds
        numbers = {f"train/{name}": value for name, value in epoch.train.items()}
        numbers |= {f"valid/{name}": value for name, value in epoch.valid}
        if {"rate", "distortion"} <= epoch.train.keys():
            numbers["train/negative_elbo"] = epoch.train["rate"] + epoch.train["distortion"]
        for name, value in numbers.items():
            self.writer.add_scalar(name, value, epoch.step, walltime=time_of_end)
        picture = self._run.samples_file(epoch.epoch)
        if picture.is_file():
            self.writer.add_image("samples", _pixels(picture), epoch.step, walltime=time_of_end, dataformats="HWC")


def _remove_event_files(folder: Path) -> None:
    for path in folder.glob("*") if folder.is_dir() else ():
        if is_event_file(path.name):
            path.unlink()


def _pixels(path: Path) -> Any:
    import numpy as np
    from PIL import Image

    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
