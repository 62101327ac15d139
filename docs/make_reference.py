"""Write docs/reference.md from the help of the commands and from the catalogs, and what shells complete.

    python docs/make_reference.py

A test checks that the page is up to date; for the second file see make_completion.py.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer

from cvae_cli.app import app
from cvae_cli.config.catalog import recipe_descriptions
from cvae_cli.data.catalog import all_sources
from cvae_cli.errors import ExitCode
from cvae_cli.evaluation.metrics import catalog as metrics
from cvae_cli.pictures.files import FORMATS
from cvae_cli.text.catalog import encoder_options

PAGE = Path(__file__).with_name("reference.md")


def reference() -> str:
    """Return the page: the options of each command, what there is of each kind of thing, and the exit codes."""
    parts = [
        "# Reference",
        "`docs/make_reference.py` makes this page from the help of the commands and from the catalogs.",
    ]
    for name, command in _commands("cvae", typer.main.get_command(app)):
        parts += [f"## {name}", command.help, _table(command.params), _examples(command.epilog)]
    recipes = [[f"`{name}`", description] for name, description in recipe_descriptions().items()]
    parts += ["## Recipes", _rows(["recipe", "what it trains"], recipes)]
    sources = [[f"`{source.name}`", source.description, _splits(source)] for source in all_sources()]
    parts += ["## Data sets", _rows(["data set", "what it is", "splits"], sources)]
    parts += [
        "## Metrics",
        _rows(["metric", "what it measures", "better", "of", "for"], list(map(_metric, metrics.METRICS))),
    ]
    parts += ["Metrics marked * need a download or more time; they are computed only if asked for."]
    parts += [
        "## Text encoders",
        "For `--condition`: " + ", ".join(f"`{option}`" for option in encoder_options()) + ".",
    ]
    parts += [
        "## Picture formats",
        "For `--format`: " + ", ".join(f"`{name}`" for name in [*FORMATS, "webdataset"]) + ".",
    ]
    codes = [[f"{code:d}", code.describe()] for code in ExitCode]
    parts += ["## Exit codes", _rows(["code", "meaning"], codes)]
    return "\n\n".join(parts) + "\n"


def _commands(name: str, group: Any) -> Iterator[tuple[str, Any]]:
    """Yield the name and the command of each command in a group and its groups."""
    for part, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from _commands(f"{name} {part}", command)
        else:
            yield f"{name} {part}", command


def _rows(header: list[str], rows: list[list[str]]) -> str:
    """Return a table; a bar within a cell is escaped, because it would begin another cell, in code too."""
    lines = [[cell.replace("|", "\\|") for cell in line] for line in (header, ["---"] * len(header), *rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _metric(name: str) -> list[str]:
    metric = metrics.find_metric(name)
    summary = metric.__doc__.strip().split("\n", 1)[0]
    better = metric.direction or "-"
    return [f"`{name}`" + ("" if metric.is_default else " *"), summary, better, metric.stream, metric.dataset or "any"]


def _splits(source: Any) -> str:
    return ", ".join(getattr(source, "splits", ()) or ()) or "those of the folder"


def _table(parameters: list[Any]) -> str:
    shown = [parameter for parameter in parameters if parameter.name != "help"]
    meanings = [each.help.replace(".  [default", ". [default") + _default(each) for each in shown]
    return _rows(["option", "meaning"], [list(row) for row in zip(map(_names, shown), meanings, strict=True)])


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
    examples, *remarks = epilog.replace("\b", "").strip().split("\n\n")
    commands = [line.strip() for line in examples.splitlines()[1:]]
    remarks = [" ".join(remark.split()) for remark in remarks]
    return "\n\n".join(["```console\n" + "\n".join(f"$ {line}" for line in commands) + "\n```", *remarks])


if __name__ == "__main__":
    import make_completion

    PAGE.write_text(reference(), encoding="utf-8")
    make_completion.FILE.write_text(make_completion.content(), encoding="utf-8")
