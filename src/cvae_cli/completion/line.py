"""Which word of a command line is being written: a command, an option, or a value of some kind."""

import json
import os
from functools import cache
from typing import Any, NamedTuple


@cache
def table() -> dict[str, Any]:
    """Return `commands.json`: the commands with their options, and the names of each kind of value.

    `docs/make_reference.py` writes it.
    """
    with open(os.path.join(os.path.dirname(__file__), "commands.json"), encoding="utf-8") as file:
        content: dict[str, Any] = json.load(file)
    return content


class Wanted(NamedTuple):
    """What can be written in the place of a word.

    Attributes:
        word: what is there already.
        kind: the metavar of the value that goes here, such as `MODEL`; "" if none does.
        names: commands or options that go here, with what they mean.
    """

    word: str
    kind: str
    names: dict[str, str]


def wanted(before: list[str], word: str) -> Wanted:
    """Return what can be written after the words `before`, where `word` is being written."""
    command = table()["cvae"]
    options = _by_name(command)
    used: list[str] = []
    rest = list(before)
    arguments = 0
    is_option = True  # whether a word that begins with a hyphen is an option
    while rest:
        each = rest.pop(0)
        if each == "--":
            is_option = False
        elif is_option and len(each) > 1 and each.startswith("-"):
            name, equals, _ = each.partition("=")
            option = options.get(name, {})
            used += option.get("names", [])
            for _ in range(0 if equals else option.get("values", 0)):
                if not rest:
                    return Wanted(word, option["kind"], {})
                rest.pop(0)
        elif each in command["commands"]:
            command = command["commands"][each]
            options, used = _by_name(command), []
        else:
            arguments += 1
    if is_option and word.startswith("--") and "=" in word:
        name, _, value = word.partition("=")
        return Wanted(value, options.get(name, {}).get("kind", ""), {})
    if is_option and word.startswith("-"):
        free = [each for each in command["options"] if each["repeats"] or each["names"][0] not in used]
        return Wanted(word, "", {max(each["names"], key=len): each["help"] for each in free})
    if command["commands"]:
        return Wanted(word, "", {name: each["help"] for name, each in command["commands"].items()})
    kinds: list[str] = command["arguments"]
    last = kinds[-1] if kinds and command["repeats"] else ""
    return Wanted(word, kinds[arguments] if arguments < len(kinds) else last, {})


def _by_name(command: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {name: option for option in command["options"] for name in option["names"]}


def read_line(line: str) -> tuple[list[str], str, str]:
    """Read a command line of bash up to the cursor.

    Returns:
        The words between `cvae` and the last one; the last one, which is being written; and that as it is written.
    """
    words, word, quote, start = [], "", "", 0
    position = 0
    while position < len(line):
        character = line[position]
        if character == "\\" and quote != "'" and position + 1 < len(line):
            position += 1
            word += line[position]
        elif character in {quote, "'", '"'} and quote in {character, ""}:
            quote = "" if quote else character
        elif character in " \t\n" and not quote:
            if word or line[start:position]:
                words.append(word)
            word, start = "", position + 1
        else:
            word += character
        position += 1
    return words[1:], word, line[start:]


def last_piece(word: str, breaks: str) -> str:
    """Return what follows the last character of `word` at which bash breaks words; in quotes it breaks none."""
    if word.startswith(("'", '"')):
        return word[1:]
    return word[max((word.rfind(each) + 1 for each in ":=@" if each in breaks), default=0) :]
