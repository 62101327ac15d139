"""The table from exceptions to exit codes."""

import errno
import subprocess
from pathlib import Path

import pytest
import torch

from cvae_cli.app import _as_cvae_error
from cvae_cli.errors import CvaeError, ExitCode
from cvae_cli.runtime import launch


def caught(code: str) -> Exception:
    try:
        exec(code, {"torch": torch, "errno": errno})
    except Exception as error:
        return error
    raise AssertionError("nothing was raised")


@pytest.mark.parametrize(
    ("code", "exit_code", "said"),
    [
        ("torch.empty(2**50)", ExitCode.OUT_OF_MEMORY, "out of memory"),
        ("bytearray(2**60)", ExitCode.OUT_OF_MEMORY, "out of memory"),
        ("raise OSError(errno.ENOSPC, 'No space left on device')", ExitCode.UNEXPECTED, "no space left on the device"),
        ("open('/nowhere/at/all')", ExitCode.UNEXPECTED, "no such file or directory: /nowhere/at/all"),
        (
            "raise ImportError('libtorch_cpu.so: failed to map segment from shared object')",
            ExitCode.OUT_OF_MEMORY,
            "torch",
        ),
        ("raise OSError(errno.EMFILE, 'Too many open files', 'x')", ExitCode.UNEXPECTED, "too many open files"),
        ("1 / 0", ExitCode.UNEXPECTED, "unexpected ZeroDivisionError: division by zero"),
    ],
)
def test_errors_of_others_get_a_line_and_a_code(code: str, exit_code: ExitCode, said: str) -> None:
    error = _as_cvae_error(caught(code))
    assert error.exit_code == exit_code
    assert said in error.message


def test_our_own_errors_stay_what_they_are() -> None:
    error = CvaeError("something", hint="do this")
    assert _as_cvae_error(error) is error


def test_reader_that_goes_away_is_not_an_error_to_talk_about(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    done = subprocess.run(
        f"'{executable}' train --list | true", shell=True, env=clean_environment, cwd=tmp_path, capture_output=True
    )
    assert done.stderr == b""


def test_debug_shows_where_an_error_came_from(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    command = [executable, "train", "nonsense", "--debug"]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" in done.stderr
    assert done.stderr.splitlines()[-2].startswith('cvae: no recipe "nonsense"')


@pytest.mark.parametrize(("rank", "size"), [("", "abc"), ("x", "2"), ("", "2"), ("-1", "4"), ("0", "1")])
def test_an_environment_that_is_not_torchruns_means_one_process(
    monkeypatch: pytest.MonkeyPatch, rank: str, size: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", size)
    assert launch.rank_and_size() == (0, 1)
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert launch.rank_and_size() == (1, 2)
