"""Tables for a terminal of any width: no word in them is broken."""

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_cli.console.terminal import wrap_part

if TYPE_CHECKING:
    from rich.table import Table

_GAP = 3  # characters between two columns
_Rows = Sequence[Sequence[str]]


def draw(header: Sequence[str], rows: _Rows, width: int) -> "Table | str":
    """Return something for Rich to print: a table, or a list of the rows if the table would be too wide.

    Rows of two cells whose columns have no names are facts: a name each, and what it is.
    """
    from rich import box
    from rich.table import Table

    if not any(header):
        return "\n".join(_facts(rows, width))
    widths = _column_widths(header, rows, width)
    if widths is None:
        return "\n".join(_stacked(header, rows, width))
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for index, (name, wide) in enumerate(zip(header, widths, strict=True)):
        are_numbers = all(row[index][:1].isdecimal() or row[index][:1] in "-" for row in rows)
        table.add_column(name, justify="right" if are_numbers else "left", overflow="fold", width=wide)
    for row in rows:
        table.add_row(*row)
    return table


def _column_widths(header: Sequence[str], rows: _Rows, width: int) -> list[int] | None:
    """Return a width for each column of a table that breaks no word, or None if the table is too wide for that."""
    cells = list(zip(header, *rows, strict=True))
    words = [max(len(word) for cell in column for word in cell.split() or [""]) for column in cells]
    full = [max(map(len, column)) for column in cells]
    spare = width - sum(words) - _GAP * len(cells)
    if spare < 0:
        return None
    # Those that need the least get it first; what is left is shared by the others.
    waiting = sorted(range(len(cells)), key=lambda index: full[index] - words[index])
    for count, index in zip(range(len(waiting), 0, -1), waiting, strict=True):
        more = min(full[index] - words[index], spare // count)
        words[index] += more
        spare -= more
    return words


def _facts(rows: _Rows, width: int) -> list[str]:
    """Return lines of facts: what does not fit beside the name of a fact goes on below, and a long word stays whole."""
    beside = max(len(name) for name, _ in rows) + 2
    lines = []
    for name, value in rows:
        if all(len(word) <= width - beside for word in value.split()):
            lines += wrap_part(value, " " * beside, width, start=f"{name:<{beside}}")
        else:
            lines += [name, *wrap_part(value, " " * 4, width)]
    return lines


def _stacked(header: Sequence[str], rows: _Rows, width: int) -> list[str]:
    """Return a table that is too wide as lines: the first cell of each row, and below it the others by name."""
    lines = []
    for first, *others in rows:
        lines += textwrap.wrap(first, width, break_long_words=False, break_on_hyphens=False) or [""]
        for name, cell in zip(header[1:], others, strict=True):
            if cell:  # what does not fit on a line goes on deeper, so that it is no name of another cell
                lines += wrap_part(f"{name}: {cell}", " " * 6, width, start="  ")
    return lines
