"""The only room that writes: results to stdout, everything else to stderr.

There are three modes: for people (tables and progress bars), `--json` (one JSON document on stdout), and `--quiet`
(results, warnings and errors). Rich is used on a terminal only. In a pipe values are plain text, and paths and JSON
never pass through Rich, which would wrap them.

Names and texts come from files, models, servers and arguments. So everything that is written here is spelled out
first (see `errors.spelled_out`), and nothing in it is taken for markup.
"""

import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Any

from cvae_cli.console import terminal
from cvae_cli.console.progress import Bar, Lines, beating
from cvae_cli.errors import CvaeError, ExitCode, ReaderLeftError, UsageError, spelled_out, without_keys
from cvae_cli.events import Callback, Event, Notice, Progress, Summary
from cvae_cli.runtime import launch, streams

_MAX_LINE, _MAX_LINES = 1000, 60  # of a message: characters in a line, and lines of a hint
_MAX_CELL, _MAX_TASK = 300, 100  # characters in a cell of a table on a terminal, and in the name of a task

_json = False
_quiet = False
_display: Lines | Bar | None = None  # shows progress on stderr, while a long call runs
debug = False
"""Whether the user wants tracebacks."""


def configure(*, json: bool = False, quiet: bool = False, debug: bool = False) -> None:
    """Set the mode of this process, from a command's options."""
    global _json, _quiet
    _json, _quiet = json, quiet
    globals()["debug"] = debug


def is_terminal() -> bool:
    """Whether a person reads the results: stdout is a terminal that can show colours, and there is no `--json`."""
    return terminal.is_screen(sys.stdout) and not _json


def has_colour() -> bool:
    """Whether stdout may have colours (https://no-color.org)."""
    return is_terminal() and not os.environ.get("NO_COLOR")


def width() -> int:
    """The width of the terminal in characters."""
    return terminal.columns(sys.stdout)


def fit(text: str) -> str:
    """Return a text for stdout, whose lines are broken between words if stdout is a terminal."""
    if not sys.stdout.isatty():
        return text
    return "\n".join(part for line in text.split("\n") for part in terminal.wrap(line, width()))


def _is_first() -> bool:
    """Whether this process writes: of several that share a job, only rank 0 does."""
    return launch.rank_and_size()[0] == 0


# ---- stderr --------------------------------------------------------------------------------------------------------


def note(text: str) -> None:
    """Write a line of information."""
    if not _quiet and _is_first():
        _write_line(text)


def hint(text: str) -> None:
    """Write a line of information that is of use only to a person at a terminal."""
    if sys.stderr.isatty():
        note(text)


def warn(text: str) -> None:
    """Write a warning, also with `--quiet`."""
    if _is_first():
        _write_line(f"cvae: warning: {text}")


def take_python_warnings() -> None:
    """Show the warnings of other libraries as our own: in one line, and without their place in the code."""

    def show(message: Warning | str, *place: Any, **more: Any) -> None:
        warn(" ".join(str(message).split()))

    warnings.showwarning = show


def error(error: CvaeError) -> None:
    """Write what is wrong in one line, and the hint below it; with `--debug` also where it was raised."""
    if isinstance(error, ReaderLeftError) or not (_is_first() or error.exit_code == ExitCode.OUT_OF_MEMORY):
        return
    hint = error.hint.split("\n") if error.hint else []
    if len(hint) > _MAX_LINES:
        hint[_MAX_LINES:] = [f"... and {len(hint) - _MAX_LINES:,} more lines"]
    for line in [f"cvae: {error.message}", *("      " + line for line in hint)]:
        _write_line(line)


def traceback() -> None:
    """Write where the exception that is being handled came from."""
    from traceback import format_exc

    for line in format_exc().rstrip("\n").split("\n"):
        print(spelled_out(line), file=sys.stderr, flush=True)


def _write_line(text: str) -> None:
    """Write to stderr; above the progress bar, if there is one."""
    line = terminal.shorten(spelled_out(without_keys(text)), _MAX_LINE)
    if sys.stderr.isatty():
        line = "\n".join(terminal.wrap(line, terminal.columns(sys.stderr)))
    if _display is None:
        print(line, file=sys.stderr, flush=True)
    else:
        _display.write(line)


def _task(name: str) -> str:
    """Return the name of a task as it is shown."""
    return terminal.shorten(spelled_out(without_keys(name)), _MAX_TASK)


@contextmanager
def events(name: str) -> Iterator[Callback]:
    """Yield a callback that shows the events of a long call: progress as a bar, everything else as lines.

    Args:
        name: what the call does; shown with the time while there is no progress.
    """
    global _display
    is_shown = not _quiet and _is_first()
    looks = Bar if terminal.is_screen(sys.stderr) else Lines
    display = looks(_task(name), sys.stderr) if is_shown else None

    def show(event: Event) -> None:
        if isinstance(event, Progress):
            if display is not None:
                display.update(_task(event.task), spelled_out(event.detail), event.done, event.total)
        elif isinstance(event, Notice) and event.is_warning:
            warn(event.text)
        elif isinstance(event, Notice | Summary):
            note(event.text)
        else:  # one that is made of several lines
            for line in str(event).split("\n"):
                note(line)

    with nullcontext() if display is None else beating(display):
        _display = display
        try:
            yield show
        finally:
            _display = None


def confirm(question: str) -> bool:
    """Ask a person at the terminal, and return whether the answer is yes.

    Raises:
        UsageError: there is nobody to ask.
    """
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(f"{question}: there is no terminal to ask", hint="add --yes to answer yes")
    print(f"{spelled_out(question)}? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in {"y", "yes"}


# ---- stdout --------------------------------------------------------------------------------------------------------


def result(data: Any, text: str | Sequence[str] | None) -> None:
    """Write the result of a command: `data` with `--json`, otherwise `text`, a line or several, if there is one."""
    if not _is_first():
        return
    if _json:
        print(terminal.json_text(data, ascii_only="utf" not in sys.stdout.encoding.lower()), flush=True)
    elif text is not None:
        print("\n".join(map(spelled_out, [text] if isinstance(text, str) else text)), flush=True)


def result_rows(data: Any, rows: Sequence[Sequence[str]]) -> None:
    """Write the result of a command: `data` with `--json`, otherwise lines of values that are separated by tabs."""
    if _json or not _is_first():
        return result(data, None)
    return print("\n".join("\t".join(map(spelled_out, row)) for row in rows), flush=True)


def result_bytes(content: bytes) -> None:
    """Write the result of a command that is not text.

    Raises:
        UsageError: stdout is closed.
    """
    check_stdout()
    sys.stdout.buffer.write(content)
    sys.stdout.buffer.flush()


def check_stdout() -> None:
    """Raise a UsageError if stdout is closed, for a command whose only result goes there."""
    if streams.is_closed("stdout"):
        raise UsageError("stdout is closed", hint="name a file with -o/--out")


def drawing(text: str) -> None:
    """Write a picture that is made of a terminal's own codes."""
    if _is_first() and not _json:
        print(text, flush=True)


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
    if not is_drawn or not _is_first():
        return result_rows(data, rows if plain is None else plain)
    from rich.console import Console

    from cvae_cli.console import tables

    screen = Console(highlight=False, markup=False, emoji=False, width=width())
    cells = [[terminal.shorten(spelled_out(cell), _MAX_CELL) for cell in row] for row in rows]
    screen.print(tables.draw([spelled_out(name) for name in columns], cells, width()), soft_wrap=True)
    for text in filter(None, [*footer.split("\n"), *warnings]):
        screen.print(fit(spelled_out(text)), style="dim", soft_wrap=True)
    return None
