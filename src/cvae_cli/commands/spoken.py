"""The messages of the parser in the words of all others: what is wrong, in one sentence that begins in lower case."""

import re
from typing import Any

_NUMBERS: dict[Any, str] = {int: "a whole number", float: "a number"}

_SENTENCES = {
    r"No such command '(.+?)'\.?": r'no command "\1".',
    r"No such option:? '?(-[^\s'.]*)'?\.?": r"no option \1.",
    r"Did you mean '(.+?)'\?": r'Did you mean "\1"?',
    r"\(Possible options: (.+?)\)": r"Did you mean \1?",
    r"Missing argument '(.+?)'": r"\1 is missing",
    r"Missing option '(.+?)'": r"\1 is missing",
    r"Option '(.+?)' requires an argument": r"\1 needs a value",
    r"Option '(.+?)' requires (\d+) arguments": r"\1 needs \2 values",
    r"Option '(.+?)' does not take a value": r"\1 takes no value",
    r"Got unexpected extra argument(?:s|\(s\))? \((.+)\)": r"too many arguments: \1",
    r"Invalid value for '(.+?)': ": r"\1: ",
    r"Value error, '(.*?)' is not one of (.+)": r'"\1" is none of \2',
}


def in_our_words(error: Any) -> str:
    """Return what a mistake is, found by the parser of whichever version of Typer, as cvae says it."""
    message = error.format_message()
    return _about_a_number(error, message) or _in_sentences(message)


def _about_a_number(error: Any, message: str) -> str | None:
    """Return which numbers an option takes, if the mistake is that the value is none of them."""
    option = re.match(r"Invalid value for '(.+?)': ", message)
    kind = _NUMBERS.get(getattr(getattr(error.param, "type_descriptor", None), "annotation", None)) if option else None
    if option is None or kind is None:
        return None
    least, most = error.param.min, error.param.max
    if least is not None and most is not None:
        kind += f" from {least:,g} to {most:,.0f}"
    elif least is not None:
        kind += f" of at least {least:,g}"
    given = error.__cause__.errors()[0]["input"] if hasattr(error.__cause__, "errors") else None
    return f"{option[1]} must be {kind}" + (f', not "{given}"' if given is not None else "")


def _in_sentences(message: str) -> str:
    """Return the message in our words if it is one of those we know; others begin in lower case."""
    text = message
    for theirs, ours in _SENTENCES.items():
        text = re.sub(theirs, ours, text, count=1)
    if '" is none of ' in text:
        text = text.replace("'", "")
    text = text.rstrip(".")
    return text if text != message.rstrip(".") else text[:1].lower() + text[1:]
