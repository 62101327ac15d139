"""The one place that writes: results to stdout, all else to stderr.

Three modes: for people (tables, progress), `--json` (one JSON document on stdout), and `--quiet` (results and errors
only). Rich draws on a terminal; in a pipe values are plain, and paths and JSON never go through Rich, which wraps.
"""

import io
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import CvaeError, ExitCode
from cvae_cli.events import Callback, Event, Notice, Progress
from cvae_cli.runtime import launch

if TYPE_CHECKING:
    from rich.progress import Progress as RichProgress

_PLAIN_EVERY = 5.0  # seconds between progress lines where no bar can be drawn

_json = False
_quiet = False
_is_first = launch.rank_and_size()[0] == 0  # of several processes that share a job only the first speaks
debug = False
"""Whether tracebacks are wanted."""


def configure(*, json: bool = False, quiet: bool = False, debug: bool = False) -> None:
    """Set the mode of this process, from a command's options."""
    global _json, _quiet
    _json, _quiet = json, quiet
    globals()["debug"] = debug
    if isinstance(sys.stdout, io.TextIOWrapper):
        # what is not text, as a file's name may be, is spelled out; that is good JSON too
        sys.stdout.reconfigure(errors="backslashreplace")


def is_terminal() -> bool:
    """Whether results are read by a person: stdout is a terminal that can show colours, and JSON is not asked for."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not _json


def has_colour() -> bool:
    """Whether a person sees colours on stdout (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def width() -> int:
    """Characters in a line of the terminal."""
    return shutil.get_terminal_size().columns


def note(text: str) -> None:
    """Something good to know, on stderr."""
    if not _quiet and _is_first:
        print(text, file=sys.stderr, flush=True)


def hint(text: str) -> None:
    """Something that only a person at a terminal wants to know."""
    if sys.stderr.isatty():
        note(text)


def warn(text: str) -> None:
    """Something that may surprise, on stderr, `--quiet` or not."""
    if _is_first:
        print(f"cvae: warning: {text}", file=sys.stderr, flush=True)


def error(error: CvaeError) -> None:
    """What went wrong, in a line, and below it what to do."""
    lines = [f"cvae: {error.message}"]
    if error.hint:
        lines += ["      " + line for line in error.hint.splitlines()]
    if _is_first or error.exit_code == ExitCode.OUT_OF_MEMORY:
        print("\n".join(lines), file=sys.stderr, flush=True)


def result(data: Any, text: str | None) -> None:
    """A command's result: `data` with `--json`, else `text` where there is something to say."""
    if not _is_first:
        return
    if _json:
        print(json.dumps(data, indent=2, ensure_ascii=False), flush=True)
    elif text is not None:
        print(text, flush=True)


def result_bytes(content: bytes) -> None:
    """A command's result that is no text."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table(
    data: Any,
    *,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    footer: str = "",
    plain: Sequence[Sequence[str]] | None = None,
) -> None:
    """A table as a command's result: `data` with `--json`, Rich on a terminal, tab-separated lines in a pipe.

    Args:
        rows: as people read them, one string a column.
        footer: shown below on a terminal.
        plain: the lines of a pipe, when they differ from `rows`.
    """
    if _json or not _is_first:
        return result(data, None)
    if not sys.stdout.isatty():
        return print("\n".join("\t".join(row) for row in (rows if plain is None else plain)), flush=True)
    from rich import box
    from rich.console import Console
    from rich.table import Table

    drawn = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, *cells in zip(columns, *rows, strict=True):
        numbers = all(cell[:1].isdecimal() or cell[:1] in "-" for cell in cells)
        drawn.add_column(column, justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        drawn.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.print(drawn)
    if footer:
        console.print(footer, style="dim", soft_wrap=True)
    return None


def show(event: Event) -> None:
    """Show an event as a line; progress is not worth one."""
    if isinstance(event, Notice) and event.is_warning:
        warn(str(event))
    elif not isinstance(event, Progress):
        note(str(event))


@contextmanager
def events(what: str) -> Iterator[Callback]:
    """Show the events of a long call on stderr: progress as a bar, everything else as lines that stay.

    Args:
        what: the name of the bar until a task has one.
    """
    with ExitStack() as stack:
        bar: Bar | None = None

        def show_all(event: Event) -> None:
            nonlocal bar
            if isinstance(event, Progress):
                bar = bar or stack.enter_context(_bar(what))
                bar.update(event)
            elif bar is not None:
                bar.line(event)
            else:
                show(event)

        yield show_all


@contextmanager
def _bar(what: str) -> Iterator["Bar"]:
    """A Rich bar on a terminal, else a plain line every few seconds."""
    if _quiet or not _is_first or not sys.stderr.isatty():
        yield Bar(what, None)
        return
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as RichProgress

    drawn = RichProgress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}"),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with drawn:
        yield Bar(what, drawn)


class Bar:
    """Shows the progress of a call."""

    def __init__(self, what: str, drawn: "RichProgress | None") -> None:
        self._drawn = drawn
        self._task = drawn.add_task(what, total=None, text="") if drawn else None
        self._last = time.monotonic()

    def update(self, event: Progress) -> None:
        """Show how far a task is."""
        if self._drawn is not None and self._task is not None:
            self._drawn.update(
                self._task, completed=event.done, total=event.total, description=event.task, text=event.detail
            )
        elif not (_quiet or _json) and _is_first and time.monotonic() - self._last >= _PLAIN_EVERY:
            self._last = time.monotonic()
            part = f" {event.done / event.total:.0%}" if event.total else ""
            print(f"{event.task}{part} {event.detail}".rstrip(), file=sys.stderr, flush=True)

    def line(self, event: Event) -> None:
        """A line that stays, above the bar."""
        if self._drawn is None:
            show(event)
        else:
            is_warning = isinstance(event, Notice) and event.is_warning
            text = f"cvae: warning: {event}" if is_warning else str(event)
            self._drawn.console.print(text, highlight=False, markup=False, soft_wrap=True)
