"""`cvae --install-completion` and `cvae --show-completion`."""

import typer

from cvae_cli import console

NAMES = ("--install-completion", "--show-completion")
_THIS = "this"


def with_shell(arguments: list[str]) -> list[str]:
    """Return the arguments of `cvae` with a shell after these options: the one that runs, unless another is named."""
    if len(arguments) == 1 and arguments[0] in NAMES:
        return [*arguments, _THIS]
    return arguments


def install(shell: str | None) -> None:
    """Install completion for a shell, say what was written, and exit."""
    from cvae_cli.completion import install

    if shell is None:
        return
    installed = install.install(install.this_shell() if shell == _THIS else shell)
    if installed.start:
        console.note(f"{installed.start} loads it")
    console.hint("it works in every new shell; in this one:  exec " + installed.shell)
    console.result(None, str(installed.script))
    raise typer.Exit


def show(shell: str | None) -> None:
    """Print the script of a shell, and exit."""
    from cvae_cli.completion import install

    if shell is None:
        return
    console.result(None, install.script(install.this_shell() if shell == _THIS else shell).rstrip("\n").split("\n"))
    raise typer.Exit
