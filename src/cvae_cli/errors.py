"""What can go wrong, as a user meets it: a sentence, a hint and an exit code."""

from collections.abc import Sequence
from enum import IntEnum

_NEAR = 0.6  # similarity from which a known word is worth suggesting
_MOST_WORDS, _LONGEST_WORD = 100, 60  # of what was said; nobody's slip is further in, or longer


class ExitCode(IntEnum):
    """Exit codes of every command; `describe` gives the line that the documentation shows for each."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    MISSING = 3
    CORRUPT = 4
    OUT_OF_MEMORY = 5
    DIVERGED = 6
    INTERRUPTED = 130

    def describe(self) -> str:
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected: a defect in cvae, or the system refused (disk full, input/output error)",
    ExitCode.USAGE: "usage: an option, name, prompt or path that cannot be used as given",
    ExitCode.MISSING: "missing data or weights: not on this machine, and not to be had right now",
    ExitCode.CORRUPT: "corrupt: a file that is damaged, of the wrong kind, or fails its checksum",
    ExitCode.OUT_OF_MEMORY: "out of memory",
    ExitCode.DIVERGED: "training diverged: the loss has exploded, or is no longer a finite number",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C)",
}


class CvaeError(Exception):
    """Anything the user can be told in one line.

    Args:
        message: what is wrong, one sentence without a full stop.
        hint: what to do about it; may have several lines.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(CvaeError):
    """An option, name, prompt or path that cannot be used as given."""

    exit_code = ExitCode.USAGE


class MissingError(CvaeError):
    """Data or weights that are not on this machine and cannot be had right now."""

    exit_code = ExitCode.MISSING


class CorruptError(CvaeError):
    """A file that is damaged, of the wrong kind, or fails its checksum."""

    exit_code = ExitCode.CORRUPT


class OutOfMemoryError(CvaeError):
    """The work does not fit the memory of the device."""

    exit_code = ExitCode.OUT_OF_MEMORY


class DivergedError(CvaeError):
    """A loss that has exploded, or is no longer a finite number."""

    exit_code = ExitCode.DIVERGED


class InterruptedRunError(CvaeError):
    """Ctrl-C during work that was saved; the message says where."""

    exit_code = ExitCode.INTERRUPTED


def did_you_mean(said: str | Sequence[str], known: Sequence[str]) -> str:
    """` Did you mean "sneaker"?`, for the known word nearest to any of those `said`; nothing when none is near."""
    from difflib import SequenceMatcher

    words = [said] if isinstance(said, str) else said[:_MOST_WORDS]
    matches = [
        (SequenceMatcher(None, word.casefold(), each.casefold()).ratio(), each)
        for word in words
        if len(word) <= _LONGEST_WORD
        for each in known
    ]
    similarity, nearest = max(matches, default=(0.0, ""))
    return f' Did you mean "{nearest}"?' if similarity >= _NEAR else ""


def quoted(text: str) -> str:
    """`text` in quotes, shortened, with what would disturb a terminal spelled out."""
    text = text if len(text) <= 60 else text[:57] + "..."
    return '"' + "".join(c if c.isprintable() else repr(c)[1:-1] for c in text) + '"'
