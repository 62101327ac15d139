"""The errors that a user may see: each has a sentence, a hint and an exit code."""

import re
import unicodedata
from collections.abc import Sequence
from enum import IntEnum

_MIN_SIMILARITY = 0.6  # from 0 to 1; a known word that is less similar is not suggested
_MAX_WORDS, _MAX_LENGTH = 100, 60  # bounds on the given words that are compared, and on their characters


_DISTURBING = {"Cc", "Cf", "Cs", "Zl", "Zp"}  # categories: control, format, surrogate, line and paragraph separator
_JOINERS = "\u200c\u200d"  # of the category Cf, but part of words in some languages, and of emoji


class ExitCode(IntEnum):
    """The exit codes of every command."""

    OK = 0
    UNEXPECTED = 1
    USAGE = 2
    MISSING = 3
    CORRUPT = 4
    OUT_OF_MEMORY = 5
    DIVERGED = 6
    GATE = 7
    INTERRUPTED = 130
    READER_LEFT = 141

    def describe(self) -> str:
        """Return the description that `cvae --help` and the documentation show."""
        return _DESCRIPTIONS[self]


_DESCRIPTIONS = {
    ExitCode.OK: "done",
    ExitCode.UNEXPECTED: "unexpected: a bug in cvae, or an error of the system (disk full, input/output error)",
    ExitCode.USAGE: "usage: an option, name, prompt or path that cannot be used as given",
    ExitCode.MISSING: "missing data or weights: not on this machine, and they cannot be downloaded now",
    ExitCode.CORRUPT: "corrupt: a file that is damaged, of the wrong kind, or fails its checksum",
    ExitCode.OUT_OF_MEMORY: "out of memory",
    ExitCode.DIVERGED: "training diverged: the loss has exploded, or is no longer a finite number",
    ExitCode.GATE: "a score that --fail-if does not allow",
    ExitCode.INTERRUPTED: "interrupted (Ctrl-C, SIGTERM, or a terminal that was closed)",
    ExitCode.READER_LEFT: "the reader of the output has left, as `| head` does",
}


_USER = re.compile(r"(\w://)[^\s/@'\"]+@")
_QUERY = re.compile(r"(\w://[^\s?'\"]*\?)[^\s'\",;)]+")


def without_keys(text: str) -> str:
    """Return a text in which addresses have neither a user with a password nor a query, as `https://a/b.tar?...`."""
    return _QUERY.sub(r"\1...", _USER.sub(r"\1...@", text))


class CvaeError(Exception):
    """An error that is shown to the user as one sentence, without a traceback.

    Args:
        message: what is wrong, one sentence without a full stop.
        hint: what to do about it; it may have several lines.
    """

    exit_code = ExitCode.UNEXPECTED

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        whole = message if message.endswith("..") else message.removesuffix(".")  # of what a suggestion may follow
        self.message = without_keys(whole)
        self.hint = without_keys(hint) if hint else hint
        super().__init__(self.message)

    def add_hint(self, hint: str) -> None:
        """Add a line to the hint: another way out."""
        self.hint = f"{self.hint}\n{hint}" if self.hint else hint


class UsageError(CvaeError):
    """An option, name, prompt or path that cannot be used as given."""

    exit_code = ExitCode.USAGE


class MissingError(CvaeError):
    """Data or weights that are not on this machine and cannot be downloaded now."""

    exit_code = ExitCode.MISSING


class CorruptError(CvaeError):
    """A file that is damaged, of the wrong kind, or fails its checksum."""

    exit_code = ExitCode.CORRUPT


class OutOfMemoryError(CvaeError):
    """The work does not fit into the memory of the device."""

    exit_code = ExitCode.OUT_OF_MEMORY


class DivergedError(CvaeError):
    """A training whose loss has exploded, or is no longer a finite number."""

    exit_code = ExitCode.DIVERGED


class GateError(CvaeError):
    """A score that the user does not allow (`--fail-if`); the scores were computed and shown."""

    exit_code = ExitCode.GATE


class InterruptedRunError(CvaeError):
    """Ctrl-C during work whose progress was saved; the message says where."""

    exit_code = ExitCode.INTERRUPTED


class ReaderLeftError(CvaeError):
    """Nobody reads stdout or stderr any more: an orderly end, and nothing to talk about."""

    exit_code = ExitCode.READER_LEFT


def did_you_mean(given: str | Sequence[str], known: Sequence[str]) -> str:
    """Return ` Did you mean "sneaker"?` with the known word most similar to a given one, or "" if none is similar."""
    from difflib import SequenceMatcher

    words = [given] if isinstance(given, str) else given[:_MAX_WORDS]
    words = [word.casefold() for word in words if len(word) <= _MAX_LENGTH]
    similarity, nearest = _MIN_SIMILARITY, ""
    matcher = SequenceMatcher()
    for each in known:
        matcher.set_seq2(each.casefold())  # what takes long is done once for all words
        for word in words:
            matcher.set_seq1(word)
            if min(matcher.real_quick_ratio(), matcher.quick_ratio()) >= similarity:  # upper bounds, computed fast
                similarity, nearest = max((similarity, nearest), (matcher.ratio(), each))
    return f' Did you mean "{nearest}"?' if nearest else ""


def byte_size(length: float) -> str:
    """Return a number of bytes as people read it: `96 MB`, `4.1 MB`, `812 B`; only what is empty is `0 B`."""
    units = ["B", "kB", "MB", "GB"]
    while length >= 999.5 and len(units) > 1:
        length /= 1000
        del units[0]
    return f"{length:,.{0 if length >= 9.95 or units[0] == 'B' else 1}f} {units[0]}"


def quoted(text: str) -> str:
    """Return `text` in quotes, shortened to 60 characters, with control characters escaped."""
    return f'"{spelled_out(text if len(text) <= 60 else text[:57] + "...")}"'


def spelled_out(text: str) -> str:
    """Return `text` with everything escaped that would disturb a terminal or hide what the text is.

    These are control characters (with tabs, line breaks and the beginning of escape sequences), characters that change
    the direction of writing or cannot be seen, and parts of characters, as in a file name that is not text.
    """
    if text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if disturbs(c) else c for c in text)


def disturbs(character: str) -> bool:
    """Whether `spelled_out` escapes a character."""
    return unicodedata.category(character) in _DISTURBING and character not in _JOINERS
