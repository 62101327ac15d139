"""How every command behaves in a terminal of any width, and where it can run."""

import os
import re
import sys
from collections.abc import Iterable
from typing import Any

from typer.core import TyperCommand, TyperGroup

from cvae_cli import console
from cvae_cli.commands import completion
from cvae_cli.errors import UsageError

_MIN_COLUMNS_OF_HELP = 72  # for options and their texts side by side
_MAX_COLUMNS_OF_HELP = 100  # longer lines are hard to read
_BRACES = re.compile(r"\{([A-Z/]+)\}")  # around arguments that must be given, which need no mark
_WHOLE = 1000  # characters, more than any sentence has
_UNBROKEN_HYPHEN = "\u2011"  # names have hyphens, at which lines must not end


class _FittingHelp:
    """A command whose help fits the terminal: on a narrow one, texts are below their options."""

    def get_help(self, ctx: Any) -> str:
        """Return the help."""
        formatter = ctx.make_formatter()
        is_terminal = sys.stdout.isatty()
        is_narrow = is_terminal and console.width() < _MIN_COLUMNS_OF_HELP
        if is_terminal:
            formatter.width = min(console.width(), _MAX_COLUMNS_OF_HELP) - 2
        write = formatter.write_dl

        def write_dl(rows: Iterable[tuple[str, str]]) -> None:
            unbroken = [(first, _for_people(text).replace("-", _UNBROKEN_HYPHEN)) for first, text in rows]
            write(unbroken, col_max=4 if is_narrow else 30)

        formatter.write_dl = write_dl
        self.format_help(ctx, formatter)  # type: ignore[attr-defined]
        text = formatter.getvalue().rstrip("\n").replace(_UNBROKEN_HYPHEN, "-")
        usage, *rest = text.split("\n\n", 1)
        return console.fit("\n\n".join([_BRACES.sub(r"\1", usage), *rest]))

    def get_short_help_str(self, limit: int = _WHOLE) -> str:
        """Return what the command does, for the list of all commands: a whole sentence, however long its line is."""
        return super().get_short_help_str(_WHOLE)  # type: ignore[misc, no-any-return]


def _for_people(text: str) -> str:
    """Return a cell of the help with ranges as people write them, for example `0 to 1` instead of `0.0<=x<=1.0`."""
    text = re.sub(r"(?<=[\[ ])(\d+)(?:\.0)?<=x<=(\d+)(?:\.0)?(?=\])", r"\1 to \2", text)
    text = re.sub(r"(?<=[\[ ])x>=(\d+)(?:\.0)?(?=\])", r"\1 or more", text)
    return re.sub(r"(\[default: [^\]]*)\]  \[([^\]]*)\]$", r"\1; \2]", text)  # as for defaults that the parser knows


class Group(_FittingHelp, TyperGroup):
    """All commands."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, where the options of completion may stand without a shell."""
        return super().parse_args(ctx, completion.with_shell(args))


class Command(_FittingHelp, TyperCommand):
    """A command whose help names an argument by its metavar only: PROMPT, not "PROMPT <list[str]>"."""

    def __init__(self, *args: Any, **settings: Any) -> None:
        super().__init__(*args, **settings)
        for parameter in self.params:
            if parameter.param_type_name == "argument":
                parameter.display_type_rich = lambda ctx: None  # type: ignore[attr-defined]

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments. Each error knows its command, so that the hint can name it."""
        try:
            return super().parse_args(ctx, args)
        except Exception as error:
            if getattr(error, "ctx", ctx) is None:  # the parser leaves it out where a value is missing
                error.ctx = ctx  # type: ignore[attr-defined]
            raise

    def invoke(self, ctx: Any) -> Any:
        """Run the command, which needs a folder to run in."""
        try:
            os.getcwd()
        except FileNotFoundError:
            raise UsageError("the working folder has been deleted", hint="go to another one:  cd") from None
        return super().invoke(ctx)
