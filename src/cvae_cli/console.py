"""The only module that writes: results to stdout, everything else to stderr.

There are three modes: for people (tables and progress bars), `--json` (one JSON document on stdout), and `--quiet`
(results, warnings and errors). Rich is used on a terminal only. In a pipe values are plain text, and paths and JSON
never pass through Rich, which would wrap them.
"""

import io
import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from cvae_cli.errors import CvaeError, ExitCode
from cvae_cli.events import Callback, Event, Notice, Progress
from cvae_cli.runtime import launch
from cvae_cli.runtime.progress import Bar, Lines, beating

_json = False
_quiet = False
_is_first = launch.rank_and_size()[0] == 0  # if several processes share a job, only rank 0 writes
_display: Lines | Bar | None = None  # shows progress on stderr, while a long call runs
debug = False
"""Whether the user wants tracebacks."""


def configure(*, json: bool = False, quiet: bool = False, debug: bool = False) -> None:
    """Set the mode of this process, from a command's options."""
    global _json, _quiet
    _json, _quiet = json, quiet
    globals()["debug"] = debug
    if isinstance(sys.stdout, io.TextIOWrapper):
        # a file name may contain bytes that are not text: they are escaped, in JSON too
        sys.stdout.reconfigure(errors="backslashreplace")


def is_terminal() -> bool:
    """Whether a person reads the results: stdout is a terminal that can show colours, and there is no `--json`."""
    return sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and not _json


def has_colour() -> bool:
    """Whether stdout may have colours (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def width() -> int:
    """The width of the terminal in characters."""
    return shutil.get_terminal_size().columns


# ---- stderr --------------------------------------------------------------------------------------------------------


def note(text: str) -> None:
    """Write a line of information."""
    if not _quiet and _is_first:
        _write_line(text)


def hint(text: str) -> None:
    """Write a line of information that is of use only to a person at a terminal."""
    if sys.stderr.isatty():
        note(text)


def warn(text: str) -> None:
    """Write a warning, also with `--quiet`."""
    if _is_first:
        _write_line(f"cvae: warning: {text}")


def error(error: CvaeError) -> None:
    """Write what is wrong in one line, and the hint below it."""
    lines = [f"cvae: {error.message}"]
    if error.hint:
        lines += ["      " + line for line in error.hint.splitlines()]
    if _is_first or error.exit_code == ExitCode.OUT_OF_MEMORY:
        _write_line("\n".join(lines))


def _write_line(text: str) -> None:
    """Write to stderr; above the progress bar, if there is one."""
    if _display is None:
        print(text, file=sys.stderr, flush=True)
    else:
        _display.write(text)


@contextmanager
def events(name: str) -> Iterator[Callback]:
    """Yield a callback that shows the events of a long call: progress as a bar, everything else as lines.

    Args:
        name: what the call does; shown with the time while there is no progress.
    """
    global _display
    is_shown = not _quiet and _is_first
    can_erase = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
    display = (Bar if can_erase else Lines)(name, sys.stderr) if is_shown else None

    def show(event: Event) -> None:
        if isinstance(event, Progress):
            if display is not None:
                display.update(event)
        elif isinstance(event, Notice) and event.is_warning:
            warn(event.text)
        else:
            note(str(event))

    with nullcontext() if display is None else beating(display):
        _display = display
        try:
            yield show
        finally:
            _display = None


# ---- stdout --------------------------------------------------------------------------------------------------------


def result(data: Any, text: str | None) -> None:
    """Write the result of a command: `data` with `--json`, otherwise `text`, if there is one."""
    if not _is_first:
        return
    if _json:
        print(json.dumps(data, indent=2, ensure_ascii=False), flush=True)
    elif text is not None:
        print(text, flush=True)


def result_bytes(content: bytes) -> None:
    """Write the result of a command that is not text."""
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def table(
    data: Any,
    *,
    columns: Sequence[str],
    rows: Sequence[Sequence[str]],
    footer: str = "",
    warnings: Sequence[str] = (),
    plain: Sequence[Sequence[str]] | None = None,
) -> None:
    """Write the result of a command as a table: `data` with `--json`, tab-separated lines in a pipe.

    Args:
        rows: the cells as people read them, one for each column.
        footer: text below the table, on a terminal only.
        warnings: sentences about the values: on a terminal below the footer, otherwise on stderr.
        plain: the lines for a pipe, if they differ from `rows`.
    """
    is_drawn = sys.stdout.isatty() and not _json
    for text in warnings if not is_drawn else ():
        warn(text)
    if _json or not _is_first:
        return result(data, None)
    if not is_drawn:
        return print("\n".join("\t".join(row) for row in (rows if plain is None else plain)), flush=True)
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column, *cells in zip(columns, *rows, strict=True):
        are_numbers = all(cell[:1].isdecimal() or cell[:1] in "-" for cell in cells)
        table.add_column(column, justify="right" if are_numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    console = Console(highlight=False, markup=False)
    console.print(table)
    for text in filter(None, [footer, *warnings]):
        console.print(text, style="dim", soft_wrap=True)
    return None
