"""Tab, pressed in real shells with completion installed as a user installs it."""

import os
import pty
import re
import select
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Command

_PROMPT = "ready> "
_SHELLS = {
    "bash": ["bash", "--noprofile", "-i"],
    "zsh": ["zsh", "-i"],
    "fish": ["fish", "-i"],
}
_START = {
    "bash": (".bashrc", f"PS1='{_PROMPT}'\nbind 'set bell-style none'\nbind 'set enable-bracketed-paste off'\n"),
    "zsh": (".zshrc", f"PS1='{_PROMPT}'\nunsetopt zle_bracketed_paste prompt_sp\n"),
    "fish": (".config/fish/config.fish", f"function fish_prompt; printf '{_PROMPT}'; end\nset -g fish_greeting\n"),
}


class Shell:
    """A shell in a terminal, with a home of its own in which completion is installed."""

    def __init__(self, name: str, home: Path, folder: Path, path: str) -> None:
        self.arguments = home / "arguments"
        environment = {
            "HOME": str(home),
            "PATH": path,
            "TERM": "xterm",
            "LANG": "C.UTF-8",
            "COLUMNS": "200",
            "HF_HOME": str(home / "hf"),
        }
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execve(shutil.which(name) or name, _SHELLS[name], environment)
        self.name = name
        self.read(_PROMPT)

    def read(self, until: str, *, seconds: float = 30) -> str:
        """Read what the terminal shows until a text appears."""
        shown, end = "", time.monotonic() + seconds
        while until not in shown:
            assert time.monotonic() < end, f"{self.name} shows {shown!r}, not {until!r}"
            if select.select([self.terminal], [], [], 0.1)[0]:
                shown += re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[=>]", "", os.read(self.terminal, 65536).decode())
                if "\x1b[c" in shown or "\x1b[0c" in shown:
                    os.write(self.terminal, b"\x1b[?1;2c")
        return shown

    def complete(self, line: str) -> list[str]:
        """Write a line, press Tab and Enter, and return the arguments with which the shell starts `cvae`."""
        os.write(self.terminal, line.encode() + b"\t\r")
        end = time.monotonic() + 60
        while not self.arguments.exists():
            assert time.monotonic() < end, f"{self.name} does not start cvae after {line!r}: {self.shown()!r}"
            time.sleep(0.02)
        found = self.arguments.read_text().split("\n")[:-1]
        self.arguments.unlink()
        self.read(_PROMPT)
        return found

    def shown(self) -> str:
        """What the terminal shows and nobody has read."""
        return os.read(self.terminal, 65536).decode() if select.select([self.terminal], [], [], 0)[0] else ""

    def close(self) -> None:
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self.terminal)


@pytest.fixture(params=list(_SHELLS))
def shell(request: pytest.FixtureRequest, cvae: Command, tmp_path: Path) -> Iterator[Shell]:
    name = request.param
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not on this machine")
    home, folder, programs = tmp_path / "home", tmp_path / "work", tmp_path / "programs"
    for each in (home, folder, programs):
        each.mkdir()
    completes = f'[ "$_CVAE_COMPLETE" ] && exec {shlex.quote(sys.executable)} -m cvae_cli "$@"'
    notes = """printf '%s\\n' "$@" >~/noted && mv ~/noted ~/arguments"""
    (programs / "cvae").write_text(f"#!/bin/sh\n{completes}\n{notes}\n")
    (programs / "cvae").chmod(0o755)
    for run in ("first try", "second"):
        (folder / "runs" / run / "model").mkdir(parents=True)
        (folder / "runs" / run / "recipe.toml").touch()
        (folder / "runs" / run / "model" / "config.json").touch()
    (folder / "pictures").mkdir()
    start, content = _START[name]
    (home / start).parent.mkdir(parents=True, exist_ok=True)
    (home / start).write_text(content)
    done = cvae("--install-completion", name, env={"HOME": str(home), "XDG_CONFIG_HOME": "", "XDG_DATA_HOME": ""})
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_file()
    started = Shell(name, home, folder, f"{programs}:{os.environ['PATH']}")
    yield started
    started.close()


def test_tab_completes(shell: Shell) -> None:
    """Commands, options, models, runs with a space, names with a colon or an equals sign, and paths."""
    assert shell.complete("cvae recon") == ["reconstruct"]
    assert shell.complete("cvae generate dress --model=fas") == ["generate", "dress", "--model=fashion"]
    assert shell.complete("cvae evaluate --metric frechet:cl") == ["evaluate", "--metric", "frechet:clip"]
    assert shell.complete("cvae train folder:pic") == ["train", "folder:pictures/"]
    setting = ["train", "fashion", "--set", "training.schedule=one-cycle"]
    assert shell.complete("cvae train fashion --set training.schedule=on") == setting
    assert shell.complete("cvae plot runs/fi") == ["plot", "runs/first try"]
    *before, folder = shell.complete("cvae generate dress -o pict")
    assert (before, folder.rstrip("/")) == (["generate", "dress", "-o"], "pictures")  # zsh drops the slash at Enter
