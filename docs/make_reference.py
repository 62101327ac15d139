"""Write docs/reference.md from the commands themselves.

python docs/make_reference.py          # a test checks that the page is up to date
"""

from pathlib import Path
from typing import Any

import typer

from cvae_cli.app import app
from cvae_cli.errors import ExitCode

PAGE = Path(__file__).with_name("reference.md")


def reference() -> str:
    """The page: a section for each command, a line for each argument and option, and the exit codes."""
    parts = ["# Reference", "Made from `cvae COMMAND --help` by `docs/make_reference.py`."]
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        parts += [f"## cvae {name}", command.help, _table(command.params), _examples(command.epilog)]
    codes = "\n".join(f"| {code:d} | {code.describe()} |" for code in ExitCode)
    parts += ["## Exit codes", f"| code | meaning |\n| ---: | --- |\n{codes}"]
    return "\n\n".join(parts) + "\n"


def _table(parameters: list[Any]) -> str:
    rows = []
    for parameter in parameters:
        if parameter.name == "help":
            continue
        is_option = parameter.param_type_name == "option"
        names = ", ".join(f"`{name}`" for name in parameter.opts) if is_option else f"`{parameter.metavar}`"
        default = parameter.default
        plain = default is None or isinstance(default, bool) or not is_option
        shown = "" if plain else f" Default: `{default}`."
        rows.append(f"| {names} | {parameter.help}{shown} |".replace(".  [default", ". [default"))
    return "| option | meaning |\n| --- | --- |\n" + "\n".join(rows)


def _examples(epilog: str) -> str:
    lines = epilog.replace("\b", "").strip().splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")]
    remarks = [line.strip() for line in lines[1:] if line and not line.startswith("  ")]
    return "\n\n".join(["```console\n" + "\n".join(f"$ {line}" for line in commands) + "\n```", *remarks])


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
