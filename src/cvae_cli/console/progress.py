"""How the progress of a long call looks: lines in a pipe, a bar on a terminal. `console` chooses, and gives the stream.

Both say that the call still works when nothing has happened for a while: a thread calls `beat` now and then.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, TextIO

from cvae_cli.console.terminal import columns, shorten
from cvae_cli.errors import ReaderLeftError

if TYPE_CHECKING:
    from rich.progress import Progress as RichBar

SECONDS_BETWEEN_LINES = 5.0  # while there is progress
SECONDS_OF_SILENCE = 8.0  # in a pipe, until a line says that the call still works
SECONDS_WITHOUT_BAR = 0.8  # on a terminal, until a line says so, or a finished bar moves again
_SECONDS_BETWEEN_BEATS = 0.25
_COLUMNS_OF_BAR, _COLUMNS_OF_TIME = 72, 48  # a narrower terminal shows progress in words only
_COLUMNS_OF_WIDE_BAR = 100
_TIME = len(" 0:00:00")  # columns of the time that is left


class Lines:
    """Plain lines on a stream that cannot show a bar.

    Args:
        name: what the call does.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream = name, stream
        self._started = self._last_progress = self._last_line = time.monotonic()
        self._progress = ""  # the last one, if it is not finished
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        """Write a line that is no progress."""
        with self._lock:
            self._last_line = time.monotonic()
            print(text, file=self._stream, flush=True)

    def update(self, task: str, detail: str, done: float, total: float | None) -> None:
        """Take note of progress, and write a line if the last one is long enough ago."""
        percentage = f" {done / total:.0%}" if total else ""
        line = f"{task}{percentage} {detail}".rstrip()
        with self._lock:
            self._progress = line if done != total else ""
            if time.monotonic() - self._last_progress >= SECONDS_BETWEEN_LINES:
                self._last_progress = time.monotonic()
                self.write(line)

    def beat(self) -> None:
        """Write a line if nothing has been written for a while."""
        with self._lock:
            if time.monotonic() - self._last_line >= SECONDS_OF_SILENCE:
                self.write(f"{self._progress or self._name} · {time.monotonic() - self._started:.0f} s")

    def close(self) -> None:
        """Do nothing: lines stay."""


class Bar:
    """A bar that disappears at the end, on a terminal. Lines appear above it.

    Until the first progress, only the name and the time are shown, without Rich, which takes a while to import.
    """

    def __init__(self, name: str, stream: TextIO) -> None:
        self._name, self._stream = name, stream
        self._started = self._last = time.monotonic()
        self._has_status = False  # a line that will be erased
        self._is_finished = False  # the last task
        self._bar: RichBar | None = None
        self._taken = 0  # columns of the bar besides its texts
        self._lock = threading.RLock()

    def write(self, text: str) -> None:
        """Write a line above the bar."""
        with self._lock:
            if self._bar is not None:
                self._bar.console.print(text, highlight=False, markup=False, emoji=False, soft_wrap=True)
                return
            self._erase_status()
            print(text, file=self._stream, flush=True)

    def update(self, task: str, detail: str, done: float, total: float | None) -> None:
        """Show progress. A task that is finished at once opens no bar."""
        with self._lock:
            self._last = time.monotonic()
            self._is_finished = done == total
            if self._bar is None and self._is_finished:
                return
            bar = self._open()
            task = shorten(task, bar.console.width // 2)
            room = bar.console.width - len(task) - self._taken
            if not (detail.endswith(" left") and len(detail) <= room):
                detail = _fitting(detail, room - _TIME)
            self._show(task, detail, done, total)

    def beat(self) -> None:
        """Show that the call works if nothing has happened for a while."""
        with self._lock:
            if time.monotonic() - self._last < SECONDS_WITHOUT_BAR:
                return
            if self._bar is None:
                self._last = time.monotonic()
                self._erase_status()
                print(f"{self._name} · {self._last - self._started:.0f} s", end="", file=self._stream, flush=True)
                self._has_status = True
            elif self._is_finished:  # what follows has no progress: the bar should not lie at 100%
                self._show(self._name, "", 0, None)

    def close(self) -> None:
        """Remove the bar."""
        with self._lock:
            self._erase_status()
            if self._bar is not None:
                self._bar.stop()

    def _show(self, task: str, detail: str, done: float, total: float | None) -> None:
        bar = self._open()
        shown = bar.tasks[0]
        if (shown.description, shown.total) != (task, total):  # another task: nothing of the last one's time holds
            shown.total = total  # Rich's own methods cannot take a total away
            bar.reset(shown.id)
        bar.update(shown.id, completed=done, description=task, text=detail)

    def _open(self) -> "RichBar":
        if self._bar is None:
            from rich.console import Console
            from rich.progress import (
                BarColumn,
                ProgressColumn,
                Task,
                TaskProgressColumn,
                TextColumn,
                TimeRemainingColumn,
            )
            from rich.progress import Progress as RichBar
            from rich.text import Text

            class Remaining(TimeRemainingColumn):
                """The time that a task still takes, unless its text says how much is left of all tasks."""

                def render(self, task: Task) -> Text:
                    return Text() if task.fields["text"].endswith(" left") else super().render(task)

            self._erase_status()
            width = columns(self._stream)
            has_bar, has_time = width >= _COLUMNS_OF_BAR, width >= _COLUMNS_OF_TIME
            parts: list[ProgressColumn] = [TextColumn("{task.description}", markup=False)]
            bar_width = 24 if width >= _COLUMNS_OF_WIDE_BAR else 12
            parts += [BarColumn(bar_width=bar_width)] if has_bar else []
            parts += [TextColumn("{task.fields[text]}", markup=False), TaskProgressColumn()]
            parts += [Remaining()] if has_time else []
            self._taken = len(" 100% ") + has_bar * (bar_width + 1)
            self._bar = RichBar(*parts, console=Console(file=self._stream, width=width), transient=True)
            self._bar.add_task(self._name, total=None, text="")
            self._bar.start()
        return self._bar

    def _erase_status(self) -> None:
        if self._has_status:
            print("\r\x1b[2K", end="", file=self._stream, flush=True)
            self._has_status = False


def _fitting(detail: str, room: int) -> str:
    """Return as many parts of a detail, from its beginning, as there is room for; no part is cut."""
    parts = detail.split(" · ")
    while parts and len(" · ".join(parts)) > room:
        parts.pop()
    return " · ".join(parts)


@contextmanager
def beating(display: Lines | Bar) -> Iterator[None]:
    """Call `beat` of a display now and then, in a thread, for the length of the block; then close it."""
    ended = threading.Event()

    def run() -> None:
        with suppress(OSError, ValueError, ReaderLeftError):  # the stream is closed, which the main thread will notice
            while not ended.wait(_SECONDS_BETWEEN_BEATS):
                display.beat()

    thread = threading.Thread(target=run, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        display.close()
