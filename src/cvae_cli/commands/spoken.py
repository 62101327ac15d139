"""The messages of the parser in the words of all others: what is wrong, in one sentence that begins in lower case."""

import re

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
    r"Input should be a valid integer.*": "a whole number is needed",
    r"Input should be a valid number.*": "a number is needed",
    r"Input should be greater than or equal to (\S+)": r"at least \1 is needed",
    r"Input should be less than or equal to (\S+)": r"at most \1 is allowed",
}


def in_our_words(message: str) -> str:
    """Return a message of the parser, whichever version of Typer it is, as cvae says it; others begin in lower case."""
    text = message
    for theirs, ours in _SENTENCES.items():
        text = re.sub(theirs, ours, text, count=1)
    if '" is none of ' in text:
        text = text.replace("'", "")
    text = text.rstrip(".")
    return text if text != message.rstrip(".") else text[:1].lower() + text[1:]
