"""What `console.events` shows of a long call: on a terminal, in a pipe, with `--quiet` and with `--json`."""

import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

from cvae_cli import console
from cvae_cli.events import Notice, Progress
from cvae_cli.runtime import progress

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


def on_terminal(command: list[str], environment: dict[str, str], cwd: Path) -> tuple[str, str]:
    """The stdout of a command, and what it shows on a terminal that is its stderr, without colours."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        command, env=environment | TERMINAL, cwd=cwd, stdout=subprocess.PIPE, stderr=follower, text=True
    ) as process:
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
        assert process.stdout is not None
        stdout = process.stdout.read()
    os.close(leader)
    assert process.returncode == 0, shown.decode()
    return stdout, re.sub(r"\x1b\[[0-9;?]*m", "", shown.decode())


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
    clean_environment: dict[str, str], tmp_path: Path, mode: list[str]
) -> None:
    stdout, shown = on_terminal([sys.executable, "-c", CALL, *mode], clean_environment, tmp_path)
    assert f"{NOTE}\r\n" in shown  # not wrapped
    assert "cvae: warning: careful\r\n" in shown
    assert "from elsewhere\r\n" in shown
    assert re.search(r"counting .*4/4 +100%", shown)
    assert "counting" not in after_last_erasure(shown)
    assert (json.loads(stdout) == {"count": 4}) if mode else (stdout == "counted 4\n")


def test_quiet_shows_warnings_only(clean_environment: dict[str, str], tmp_path: Path) -> None:
    stdout, shown = on_terminal([sys.executable, "-c", CALL, "--quiet"], clean_environment, tmp_path)
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
    clean_environment: dict[str, str], tmp_path: Path, mode: list[str], lines: list[str]
) -> None:
    command = [sys.executable, "-c", CALL, *mode]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr.splitlines() == lines
    assert (json.loads(done.stdout) == {"count": 4}) if mode == ["--json"] else (done.stdout == "counted 4\n")


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ({}, ["counting 25% 1/4", "unpacking 2 MB", "careful"]),
        ({"json": True}, ["counting 25% 1/4", "unpacking 2 MB", "careful"]),
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


def test_a_command_shows_a_bar_and_a_warning(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = ["generate", "a shirt and jeans", "-n", "65", "--model", "fashion", "--format", "webp", "-o", "out"]
    _, shown = on_terminal([executable, *arguments], clean_environment, tmp_path)
    assert 'cvae: warning: "a shirt and jeans" names several classes: drawing shirt, not trouser\r\n' in shown
    assert re.search(r"drawing .*\d/65", shown)
    assert after_last_erasure(shown).endswith("65 pictures in out\r\n")
