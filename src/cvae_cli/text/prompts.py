"""Prompts from the command line and from a file; only one line of the file is in memory at a time."""

import json
import re
import shutil
import sys
import tempfile
from array import array
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import IO

from cvae_cli.errors import CorruptError, MissingError, UsageError, quoted
from cvae_cli.runtime.streams import is_closed

_EXAMPLE = 'a line is an object:  {"prompt": "two dogs on a beach"}'


@dataclass(frozen=True)
class Prompt:
    """What to draw.

    Attributes:
        source: where the prompt comes from, as `prompts.txt, line 17`; empty for one from the command line.
        earlier: how many prompts before it have the same text.
    """

    text: str
    source: str = ""
    earlier: int = 0


class Prompts:
    """The prompts `given`, then those of a file.

    The file is text with one prompt per line, where empty lines are skipped. If its name ends in .jsonl, each line is
    a JSON object with a "prompt". The whole file is read once here, so that a mistake in its last line is found before
    anything is generated, and again for each iteration.

    Args:
        given: prompts from the command line.
        file: the name of the file; `-` is stdin, as text.

    Attributes:
        count: the number of prompts.
        has_repeats: whether a text occurs more than once.

    Raises:
        MissingError: no such file.
        UsageError: the file cannot be read, has no prompt, or has an empty one; or a given prompt is not text.
        CorruptError: a line is not UTF-8, not JSON, or has no "prompt".
    """

    def __init__(self, given: Sequence[str], file: str | None = None) -> None:
        self._given = [Prompt(check_text(text)) for text in given]
        self._name = file or ""
        self._is_json = self._name.lower().endswith(".jsonl")
        self._file = _open(file) if file else None
        self.count = 0
        hashes = array("q", (hash(prompt.text) for prompt in self._read()))  # 8 bytes a prompt
        self.count = len(hashes)
        self._repeated = _repeated(hashes)
        self.has_repeats = bool(self._repeated)
        if file and self.count == len(given):
            raise UsageError(f"{file} has no prompt in it", hint="--from takes a file with a prompt a line")

    def __iter__(self) -> Iterator[Prompt]:
        seen: Counter[int] = Counter()  # of the repeated ones only
        for prompt in islice(self._read(), self.count):  # the file may grow
            if (key := hash(prompt.text)) not in self._repeated:
                yield prompt
                continue
            yield replace(prompt, earlier=seen[key])
            seen[key] += 1

    def _read(self) -> Iterator[Prompt]:
        yield from self._given
        if self._file is None:
            return
        count = len(self._given)
        with _readable(self._name):
            self._file.seek(0)
            for number, line in enumerate(self._file, 1):
                source = f"{self._name}, line {number}"
                try:
                    text = line.decode().removeprefix("\ufeff" if number == 1 else "").strip()
                except UnicodeDecodeError as error:
                    raise CorruptError(f"{source}: not UTF-8 text") from error
                if text:
                    count += 1
                    yield Prompt(_parse_json(text, source) if self._is_json else text, source)
        if count < self.count:
            raise UsageError(f"{self._name} became shorter while it was read")


def _repeated(hashes: "array[int]") -> set[int]:
    """Return the numbers that occur more than once."""
    if len(hashes) < 2:
        return set()
    import numpy as np

    ordered = np.sort(np.frombuffer(hashes, np.int64))
    return set(ordered[1:][ordered[1:] == ordered[:-1]].tolist())


def check_text(prompt: str) -> str:
    """Return the prompt if it is text: bytes of an argument that are not UTF-8 arrive as lone surrogates.

    Raises:
        UsageError: the prompt is not text.
    """
    try:
        prompt.encode()
    except UnicodeEncodeError as error:
        raise UsageError(
            f"the prompt {quoted(prompt)} is not UTF-8 text", hint="set the terminal, or the script, to UTF-8"
        ) from error
    return prompt


def slug(prompt: str) -> str:
    """The prompt as part of a file name: lower-case words joined by hyphens, at most 40 characters."""
    return re.sub(r"[^\w]+", "-", prompt.casefold()).strip("-_")[:40].rstrip("-") or "picture"


def _open(name: str) -> IO[bytes]:
    """Open the file. Stdin and pipes can be read only once, so they are copied to a temporary file."""
    if name == "-" and is_closed("stdin"):
        raise UsageError("stdin is closed", hint="name a file for --from")
    with _readable(name):
        file: IO[bytes] = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115
        if name != "-" and file.seekable():
            return file
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # it must stay open as long as the prompts are used
        shutil.copyfileobj(file, copy)
        return copy


@contextmanager
def _readable(name: str) -> Iterator[None]:
    """Turn the errors of reading the file into messages for the user."""
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(f"no file {name}") from error
    except OSError as error:
        raise UsageError(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error


def _parse_json(line: str, source: str) -> str:
    """The prompt in a line of JSON."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{source}: not JSON", hint=_EXAMPLE) from error
    if not isinstance(entry, dict) or not isinstance(prompt := entry.get("prompt"), str):
        raise CorruptError(f'{source}: no "prompt" that is a text', hint=_EXAMPLE)
    if not prompt.strip():
        raise UsageError(f"{source}: the prompt is empty")
    try:
        check_text(prompt)
    except UsageError as error:
        raise CorruptError(f"{source}: {error.message}") from error
    return prompt.strip()
