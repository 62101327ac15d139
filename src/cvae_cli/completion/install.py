"""Where a shell finds its script of completion, and how it gets there."""

import os
from dataclasses import dataclass
from pathlib import Path

from cvae_cli.errors import UsageError
from cvae_cli.paths import name_in_errors, write_bytes, write_text

SHELLS = ("bash", "zsh", "fish")
_SCRIPTS = Path(__file__).with_name("scripts")


@dataclass(frozen=True)
class Installed:
    """An installed script.

    Attributes:
        shell: whose it is.
        script: the file.
        start: the start-up file of the shell that has a line for it; None for fish, which finds the script.
    """

    shell: str
    script: Path
    start: Path | None


def script(shell: str) -> str:
    """Return the script that teaches a shell to complete `cvae`.

    Raises:
        UsageError: there is none for this shell.
    """
    if shell not in SHELLS:
        raise UsageError(f'no completion for the shell "{shell}"', hint=f"shells: {', '.join(SHELLS)}")
    return (_SCRIPTS / f"cvae.{shell}").read_text("utf-8")


_FOR_SCRIPTS = {"", "sh", "dash", "ash"}
"""Shells that run the script which started this program; nobody types commands in them."""


def this_shell() -> str:
    """Return the name of the shell that has started this program, or else, as in a script, of the one in `SHELL`."""
    import shellingham

    try:
        found: str = shellingham.detect_shell()[0]
    except (shellingham.ShellDetectionFailure, OSError):
        found = ""
    if found in _FOR_SCRIPTS:
        return os.path.basename(os.environ.get("SHELL", "")) or found
    return found


def install(shell: str) -> Installed:
    """Write the script of a shell, and, for bash and zsh, a line in their start-up file that loads it, once.

    Raises:
        UsageError: there is none for this shell, or a file cannot be written.
    """
    content = script(shell)
    if shell == "fish":
        config = Path(os.environ.get("XDG_CONFIG_HOME") or "~/.config").expanduser()
        target = config / "fish" / "completions" / "cvae.fish"
        write_text(target, content)
        return Installed(shell, target, None)
    import platformdirs

    target = platformdirs.user_data_path("cvae-cli", appauthor=False) / f"completion.{shell}"
    start = Path(os.environ.get("ZDOTDIR") or "~") / ".zshrc" if shell == "zsh" else Path("~/.bashrc")
    start = start.expanduser()
    write_text(target, content)
    line = f"[ -r {_quoted(target)} ] && . {_quoted(target)}  # completion of cvae\n".encode()
    with name_in_errors(start):
        present = start.read_bytes() if start.exists() else b""
    if line.strip() not in present:
        separator = b"" if not present or present.endswith(b"\n") else b"\n"
        write_bytes(start, present + separator + line)
    return Installed(shell, target, start)


def _quoted(path: Path) -> str:
    import shlex

    return shlex.quote(str(path))
