"""What the console shows: on terminals of several widths, in a pipe, with `--quiet` and with `--json`."""

import io
import json
import os
import pty
import re
import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from cvae_cli import console
from cvae_cli.console import progress
from cvae_cli.evaluation.metrics.catalog import GROUPS, METRICS
from cvae_cli.events import Event, Notice, Progress, Summary

NOTE = "a note that is longer than a line of the terminal: " + "x" * 100
CALL = f"""
import sys
from cvae_cli import console
from cvae_cli.events import Notice, Progress

console.configure(json="--json" in sys.argv, quiet="--quiet" in sys.argv)
with console.events("work") as callback:
    callback(Progress("counting", 1, 4))
    callback(Notice({NOTE!r}))
    callback(Notice("careful", is_warning=True))
    console.note("from elsewhere")
    callback(Progress("counting", 4, 4))
console.result({{"count": 4}}, "counted 4")
"""
TERMINAL = {"TERM": "xterm-256color", "COLUMNS": "80"}


def on_terminal(command: list[str], environment: dict[str, str], cwd: Path, *, whole: bool = False) -> tuple[str, str]:
    """The stdout of a command, and what it shows on a terminal that is its stderr, without colours.

    Args:
        whole: whether the terminal is its stdout too.
    """
    leader, follower = pty.openpty()
    stdout = follower if whole else subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, cwd=cwd, stdin=follower, stdout=stdout, stderr=follower, text=True
    ) as process:
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        said = process.stdout.read() if process.stdout is not None else ""
    os.close(leader)
    assert process.returncode == 0, shown.decode()
    return said, re.sub(r"\x1b\[[0-9;?]*m", "", shown.decode())


@pytest.fixture
def terminal_environment(clean_environment: dict[str, str]) -> dict[str, str]:
    """An environment for a terminal of 80 columns that shows colours."""
    return clean_environment | TERMINAL


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # what Linux says when the other side is closed
        return b""


def after_last_erasure(shown: str) -> str:
    """What a terminal shows below the last line that was erased."""
    return re.split(r"\x1b\[2K", shown)[-1]


@pytest.mark.parametrize("mode", [[], ["--json"]], ids=["plain", "json"])
def test_a_bar_stays_below_the_lines_and_disappears(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path, mode: list[str]
) -> None:
    stdout, shown = on_terminal([interpreter, "-c", CALL, *mode], terminal_environment, tmp_path)
    assert NOTE.replace(" x", "\r\nx") + "\r\n" in shown  # broken between words only
    assert "cvae: warning: careful\r\n" in shown
    assert "from elsewhere\r\n" in shown
    assert re.search(r"counting .*4/4 +100%", shown)
    assert "counting" not in after_last_erasure(shown)
    assert (json.loads(stdout) == {"count": 4}) if mode else (stdout == "counted 4\n")


def test_quiet_shows_warnings_only(interpreter: str, terminal_environment: dict[str, str], tmp_path: Path) -> None:
    stdout, shown = on_terminal([interpreter, "-c", CALL, "--quiet"], terminal_environment, tmp_path)
    assert (stdout, shown) == ("counted 4\n", "cvae: warning: careful\r\n")


@pytest.mark.parametrize(
    ("mode", "lines"),
    [
        ([], [NOTE, "cvae: warning: careful", "from elsewhere"]),
        (["--json"], [NOTE, "cvae: warning: careful", "from elsewhere"]),
        (["--quiet"], ["cvae: warning: careful"]),
    ],
    ids=["plain", "json", "quiet"],
)
def test_a_pipe_gets_plain_lines(
    interpreter: str, clean_environment: dict[str, str], tmp_path: Path, mode: list[str], lines: list[str]
) -> None:
    command = [interpreter, "-c", CALL, *mode]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == lines
    assert (json.loads(done.stdout) == {"count": 4}) if mode == ["--json"] else (done.stdout == "counted 4\n")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, ["counting 25% 1/4", "unpacking 2.0 MB", "careful"]),
        ({"json": True}, ["counting 25% 1/4", "unpacking 2.0 MB", "careful"]),
        ({"quiet": True}, []),
    ],
    ids=["plain", "json", "quiet"],
)
def test_progress_in_a_pipe_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mode: dict[str, bool], expected: list[str]
) -> None:
    for name in ("_json", "_quiet", "debug"):
        monkeypatch.setattr(console, name, getattr(console, name))  # the mode of before comes back
    console.configure(**mode)
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", 0)
    with console.events("work") as callback:
        callback(Progress("counting", 1, 4))
        callback(Progress("unpacking", 2e6, None, unit="B"))
        callback(Notice("careful"))
    assert capsys.readouterr().err.splitlines() == expected


class Terminal(io.StringIO):
    """A terminal of 80 columns, and what has been written to it."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        """Return the line that was written last."""
        without_colours = re.sub(r"\x1b\[[0-9;?]*m", "", self.getvalue())
        written = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", without_colours)
        return next(line for line in reversed(written.splitlines()) if line.strip())


@pytest.fixture
def bar(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[progress.Bar, Terminal]]:
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "80")
    terminal = Terminal()
    bar = progress.Bar("work", terminal)
    bar.update("reading", "2/2", 1, 2)
    bar.update("reading", "2/2", 2, 2)
    yield bar, terminal
    bar.close()


def test_a_task_of_unknown_length_shows_neither_a_share_nor_a_time(bar: tuple[progress.Bar, Terminal]) -> None:
    shown, terminal = bar
    shown.update("fitting", "", 0, None)
    shown.close()
    assert "fitting" in terminal.last()
    assert not re.search(r"%|\d:\d\d", terminal.last())


def test_what_follows_a_finished_task_shows_neither_a_share_nor_a_time(
    bar: tuple[progress.Bar, Terminal], monkeypatch: pytest.MonkeyPatch
) -> None:
    shown, terminal = bar
    monkeypatch.setattr(progress, "SECONDS_WITHOUT_BAR", 0)
    shown.beat()
    shown.close()
    assert "work" in terminal.last()
    assert not re.search(r"%|\d:\d\d", terminal.last())


def test_the_time_of_a_finished_task_is_not_that_of_the_next(bar: tuple[progress.Bar, Terminal]) -> None:
    shown, terminal = bar
    shown.update("writing", "1/2", 1, 2)  # as many as were read
    shown.close()
    assert re.search(r"writing .*1/2 +50% -:--:--", terminal.last())


def test_a_command_shows_a_bar_and_a_warning(
    executable: str, terminal_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["generate", "a shirt and jeans", "-n", "65", "--model", "fashion", "--format", "webp", "-o", "out"]
    _, shown = on_terminal([executable, *arguments], terminal_environment | {"COLUMNS": "100"}, tmp_path)
    assert 'cvae: warning: "a shirt and jeans" names several classes: drawing shirt, not trouser\r\n' in shown
    assert re.search(r"drawing .*\d/65", shown)
    assert after_last_erasure(shown).endswith("65 pictures in out\r\n")


def test_an_event_of_several_lines_keeps_them_and_a_notice_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    class Start(Event):
        def __str__(self) -> str:
            return "learns\n  1 epoch"

    with console.events("work") as callback:
        callback(Start())
        callback(Notice("a folder called a\nb"))
        callback(Summary("classes: a\nb"))
    assert capsys.readouterr().err.splitlines() == ["learns", "  1 epoch", r"a folder called a\nb", r"classes: a\nb"]


HOSTILE = "\x1b]0;title\x07\x1b[2J \x9b31m \u202egpj \x7f\r\n \udce9 [bold]b[/bold] :dog: " + "x" * 5000 + " end"
SHOWN = r"\x1b]0;title\x07\x1b[2J \x9b31m \u202egpj \x7f\r\n \udce9 [bold]b[/bold] :dog: x"
SHOW_HOSTILE = f"""
import json, sys
from cvae_cli import console
from cvae_cli.errors import UsageError
from cvae_cli.events import Notice, Progress
from cvae_cli.runtime import streams

TEXT = json.loads({json.dumps(HOSTILE)!r})
streams.make_usable()
console.configure(json="--json" in sys.argv)
console.note(TEXT)
console.warn(TEXT)
console.error(UsageError(TEXT, hint=TEXT.split()[0]))
with console.events(TEXT) as callback:
    callback(Progress(TEXT, 1, 4, unit=TEXT))
    callback(Notice(TEXT))
try:
    raise ValueError(TEXT)
except ValueError:
    console.traceback()
console.result([TEXT], TEXT)
console.table([TEXT], columns=["name", TEXT[:20]], rows=[[TEXT, "1"], ["b", TEXT]], footer=TEXT)
"""


def forbidden(shown: str) -> list[str]:
    """What of the hostile text got through to the terminal."""
    return [
        part
        for part in ("\x1b]0", "\x07", "\x1b[2J", "\x9b", "\u202e", "\x7f", "\udce9", "\U0001f436")
        if part in shown
    ]


@pytest.mark.parametrize("columns", ["40", "200"])
def test_nothing_foreign_reaches_a_terminal(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path, columns: str
) -> None:
    command = [interpreter, "-c", SHOW_HOSTILE]
    _, shown = on_terminal(command, terminal_environment | {"COLUMNS": columns}, tmp_path, whole=True)
    assert forbidden(shown) == []
    joined = "".join(shown.split())
    assert joined.count("".join(SHOWN.split())) >= 7
    assert "[bold]b[/bold]" in joined
    assert ":dog:" in joined
    assert len(re.findall("x{5000}", shown)) == 3  # the traceback, the result and the footer are not shortened
    assert joined.count("end") >= 7


def test_nothing_foreign_reaches_a_pipe(interpreter: str, clean_environment: dict[str, str], tmp_path: Path) -> None:
    command = [interpreter, "-c", SHOW_HOSTILE]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert forbidden(done.stdout + done.stderr) == []
    result, *rows = done.stdout.splitlines()
    assert result.startswith(SHOWN)
    assert len(result) > 5000
    assert [row.split("\t") for row in rows] == [[result, "1"], ["b", result]]
    messages = [
        line
        for line in done.stderr.splitlines()
        if not line.startswith(("  File", "Traceback", "ValueError", r" \udce9"))
    ]
    assert [line.partition(SHOWN)[0] for line in messages] == [
        "",
        "cvae: warning: ",
        "cvae: ",
        r"      \x1b]0;title\x07\x1b[2J",
        "",
    ]
    assert all(len(line) < 1100 for line in messages)


def test_json_is_exact_and_harmless(clean_environment: dict[str, str], tmp_path: Path) -> None:
    for encoding in ("utf-8", "ascii"):
        done = subprocess.run(
            [sys.executable, "-c", SHOW_HOSTILE, "--json"],
            env=clean_environment | {"PYTHONIOENCODING": encoding}, cwd=tmp_path, capture_output=True, check=True,
        )  # fmt: skip
        text = done.stdout.decode(encoding)
        assert forbidden(text) == []
        assert [json.loads(each) for each in text.replace("]\n[", "]\0[").split("\0")] == [[HOSTILE], [HOSTILE]]


def broken_words(shown: str, columns: int) -> list[str]:
    """The lines that a terminal would break, within a word."""
    return [line for line in shown.replace("\r\n", "\n").split("\n") if len(line.rstrip()) > columns]


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_and_tables_fit_a_terminal(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path, columns: int
) -> None:
    code = "from cvae_cli.app import app\nfor call in {}: app(call, standalone_mode=False)"
    calls = [
        [],
        ["--help"],
        ["train", "--list"],
        ["download-weights", "--list"],
        ["cache"],
        ["cache", "verify", "--help"],
    ]
    calls += [[name, "--help"] for name in ("train", "generate", "evaluate", "reconstruct", "download-weights")]
    _, shown = on_terminal(
        [interpreter, "-c", code.format(calls)],
        terminal_environment | {"COLUMNS": str(columns)},
        tmp_path,
        whole=True,
    )
    assert broken_words(shown, columns) == []
    words = set(shown.split())
    assert "\\n" not in shown
    assert {"fashion-concat", "trains,", "photographs", "--temperature", "download-weights"} <= words
    assert "trainings: -ELBO, rate and distortion, of training and validation." in " ".join(shown.split())
    assert ("epochs:" in words) == (columns == 40)  # a narrow terminal has the recipes below each other


def test_help_uses_a_wide_terminal_and_its_sentences_are_whole(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path
) -> None:
    code = "from cvae_cli.app import app\nfor name in ('plot', 'models'): app([name, '--help'], standalone_mode=False)"
    environment = terminal_environment | {"COLUMNS": "200"}
    _, shown = on_terminal([interpreter, "-c", code], environment, tmp_path, whole=True)
    lines = shown.splitlines()
    assert 90 < max(map(len, lines)) <= 100
    assert "  a prior, has a row of its own. A high start is cut off where it would flatten the rest." in lines
    assert "  export  Write a model to an ONNX file, from which programs without torch draw pictures." in lines


@pytest.mark.parametrize("columns", [40, 80])
def test_messages_fit_a_terminal(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path, columns: int
) -> None:
    environment = terminal_environment | {"COLUMNS": str(columns)}
    command = ["sh", "-c", f"'{interpreter}' -m cvae_cli evaluate --metric nonsense; true"]
    _, shown = on_terminal(command, environment, tmp_path)
    assert broken_words(shown, columns) == []
    lines = shown.splitlines()
    assert lines[0] == 'cvae: no metric "nonsense"'
    assert " ".join(" ".join(lines[1:]).split()) == f"metrics: {', '.join([*METRICS, *GROUPS])}"


def test_progress_fits_a_narrow_terminal(
    interpreter: str, terminal_environment: dict[str, str], tmp_path: Path
) -> None:
    _, shown = on_terminal([interpreter, "-c", CALL], terminal_environment | {"COLUMNS": "40"}, tmp_path)
    assert re.search(r"counting +4/4 +100%", shown)
    lines = re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Z]", "", shown))
    assert [line for line in lines if len(line) > 40] == ["x" * 100]


@pytest.mark.parametrize("variables", [{"TERM": "dumb"}, {"NO_COLOR": "1"}, {"LANG": "C", "LC_ALL": "C"}])
def test_a_terminal_without_colours(
    terminal_environment: dict[str, str], tmp_path: Path, variables: dict[str, str]
) -> None:
    command = [sys.executable, "-c", CALL]
    stdout, shown = on_terminal(command, terminal_environment | variables, tmp_path)
    assert stdout == "counted 4\n"
    assert NOTE.replace(" x", "\r\nx") in shown
    if "TERM" in variables:
        assert "\x1b" not in shown


def test_details_that_have_no_room_are_left_out_as_a_whole() -> None:
    assert progress._fitting("4,120 img/s · rate 13.9, distortion 225.0 · 1:12 left", 60).endswith(" left")
    assert progress._fitting("4,120 img/s · rate 13.9, distortion 225.0 · 1:12 left", 45).endswith(" distortion 225.0")
    assert progress._fitting("4,120 img/s · rate 13.9, distortion 225.0 · 1:12 left", 11) == "4,120 img/s"
    assert progress._fitting("4,120 img/s", 10) == ""


def test_a_warning_of_a_library_is_a_line_of_ours(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    console.take_python_warnings()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("the tensors\n  are \x1b[31mred", UserWarning, stacklevel=1)
    assert capsys.readouterr().err == "cvae: warning: the tensors are \\x1b[31mred\n"
