"""Text that a terminal of any width shows well: not endless, broken between words only, without control characters."""

import json
import os
import re
import textwrap
from typing import Any

from cvae_cli.errors import disturbs

_DEFAULT_COLUMNS = 80
_MIN_COLUMNS = 20  # nothing is laid out for less
_COMMAND = re.compile(r"(cvae|torchrun) ")
_MAX_SHORT = 6  # characters at the beginning of a line beside which the rest of it goes
_WORD = re.compile(r"""(?:"[^"]*"|'[^']*'|\S)+""")  # of a command: what is quoted stays in one line


def columns(stream: Any) -> int:
    """Return the width of the terminal behind a stream: COLUMNS if it is set, and 80 if there is no terminal."""
    if (wanted := os.environ.get("COLUMNS", "")).isdecimal() and int(wanted) > 0:
        return max(int(wanted), _MIN_COLUMNS)
    try:
        return max(os.get_terminal_size(stream.fileno()).columns or _DEFAULT_COLUMNS, _MIN_COLUMNS)
    except (OSError, ValueError):
        return _DEFAULT_COLUMNS


def is_screen(stream: Any) -> bool:
    """Whether a stream is a terminal that can move its cursor and show colours."""
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def shorten(text: str, limit: int) -> str:
    """Return at most about `limit` characters of a text: of a longer one, its beginning and its end."""
    if len(text) <= limit:
        return text
    return f"{text[: limit * 2 // 3]} ... {text[len(text) - limit // 3 :]}"


def wrap(line: str, width: int) -> list[str]:
    """Break a line between words.

    Parts of it that are separated by two spaces or more go below each other. A command among them can still be copied:
    its lines end in backslashes.
    """
    if len(line) <= width:
        return [line]
    first, *others = re.split(r" {2,}", line.strip())
    indent = " " * (len(line) - len(line.lstrip()))
    if others and len(first) <= _MAX_SHORT:  # as the number in a list
        start, lines = f"{indent}{first}  ", []
    else:
        start, lines = indent + "    ", wrap_part(first, indent, width, may_be_command=bool(indent))
    for part in others:
        below = " " * len(start)
        lines += wrap_part(part, below, width, start=below if lines else start)
    return lines


def wrap_part(
    text: str, indent: str, width: int, *, start: str | None = None, may_be_command: bool = True
) -> list[str]:
    """Break a text, or a command, between words; `start` is in place of the indentation of the first line."""
    start = indent if start is None else start
    if not (may_be_command and _COMMAND.match(text)):
        return textwrap.wrap(
            text, width, initial_indent=start, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        )
    lines = [start]
    for word in _WORD.findall(text):
        if len(f"{lines[-1]}{word} \\") > width and lines[-1] != start:
            lines[-1] += "\\"
            lines.append(indent + "  ")
        lines[-1] += f"{word} "
    return [line.rstrip(" ") for line in lines]


def json_text(data: Any, *, ascii_only: bool) -> str:
    """Return a JSON document in which every character that would disturb a terminal is escaped."""
    text = json.dumps(data, indent=2, ensure_ascii=ascii_only)
    if text.replace("\n", "").isprintable():
        return text
    return "".join(_json_escape(c) if disturbs(c) and c != "\n" else c for c in text)


def _json_escape(character: str) -> str:
    units = character.encode("utf-16-be", "surrogatepass").hex()
    return "".join(f"\\u{units[start : start + 4]}" for start in range(0, len(units), 4))
