"""What a shell completes of a command line of `cvae`. This imports neither torch nor Typer: Tab is answered at once.

The scripts in `scripts/` ask by running `cvae` with the variable `_CVAE_COMPLETE`; see `answer`.
"""

from cvae_cli.completion.line import last_piece, read_line, wanted
from cvae_cli.completion.words import candidates, escaped

VARIABLE = "_CVAE_COMPLETE"
"""The environment variable that asks for completion; its value is the shell."""


def answer(shell: str, arguments: list[str]) -> list[str]:
    """Return the lines of an answer to a shell.

    The first line is `files` or `folders` where the shell completes paths itself, `unfinished` where no space follows
    the only word, and `words` otherwise. Each of the others is a word; for zsh and fish, a tab and its meaning follow.

    Args:
        arguments: for bash the line, the position of the cursor in it, and the characters at which bash breaks words;
            for others the words after `cvae`, the last of which is being written.
    """
    if shell != "bash":
        *before, word = arguments or [""]
        kind, found = candidates(wanted(before, word))
        # zsh is given what follows --option=, fish the whole word
        prefix = word[: word.index("=") + 1] if shell == "fish" and word.startswith("--") and "=" in word else ""
        return [kind, *(f"{prefix}{each}\t{' '.join(meaning.split())}" for each, meaning in found.items())]
    if len(arguments) != 3 or not arguments[1].isdecimal():
        return ["words"]  # no question of the script's
    line, position, breaks = arguments
    before, word, raw = read_line(line[: int(position)])
    kind, found = candidates(wanted(before, word))
    # bash replaces only what follows the last character at which it breaks words, unless they are quoted
    whole = [escaped(each) for each in found]
    value = raw.partition("=")[2] if raw.startswith("--") and "=" in raw else raw
    pieces = [each[len(value) - len(last_piece(value, breaks)) :] for each in whole]
    if len(pieces) == 1 and pieces[0].endswith((":", "=", "/")):
        kind = "unfinished"
    return [kind, *pieces]
