"""Write docs/reference.md from the help of the commands.

    python docs/make_reference.py

A test checks that the page is up to date.
"""

from pathlib import Path
from typing import Any

import typer

from cvae_cli.app import app
from cvae_cli.errors import ExitCode

PAGE = Path(__file__).with_name("reference.md")


def reference() -> str:
    """Return the page: a section for each command with a table of its arguments and options, then the exit codes."""
    parts = ["# Reference", "`docs/make_reference.py` makes this page from the help of the commands."]
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        parts += [f"## cvae {name}", command.help, _table(command.params), _examples(command.epilog)]
    codes = "\n".join(f"| {code:d} | {code.describe()} |" for code in ExitCode)
    parts += ["## Exit codes", f"| code | meaning |\n| ---: | --- |\n{codes}"]
    return "\n\n".join(parts) + "\n"


def _table(parameters: list[Any]) -> str:
    rows = ["| option | meaning |", "| --- | --- |"]
    for parameter in parameters:
        if parameter.name != "help":
            meaning = parameter.help.replace(".  [default", ". [default") + _default(parameter)
            rows.append(f"| {_names(parameter)} | {meaning} |")
    return "\n".join(rows)


def _names(parameter: Any) -> str:
    """`PROMPT` for an argument, "`-o`, `--out PATH`" for an option."""
    if parameter.param_type_name == "argument":
        return f"`{parameter.metavar}`"
    *others, last = parameter.opts
    if parameter.metavar:
        last += f" {parameter.metavar}"
    return ", ".join(f"`{name}`" for name in [*others, last])


def _default(parameter: Any) -> str:
    is_shown = parameter.default is not None and not isinstance(parameter.default, bool)
    return f" Default: `{parameter.default}`." if is_shown and parameter.param_type_name == "option" else ""


def _examples(epilog: str) -> str:
    """The examples at the end of a help page as commands, and its remarks as paragraphs."""
    lines = epilog.replace("\b", "").strip().splitlines()
    commands = [line.strip() for line in lines if line.startswith("  ")]
    remarks = [line.strip() for line in lines[1:] if line and not line.startswith("  ")]
    return "\n\n".join(["```console\n" + "\n".join(f"$ {line}" for line in commands) + "\n```", *remarks])


if __name__ == "__main__":
    PAGE.write_text(reference(), encoding="utf-8")
