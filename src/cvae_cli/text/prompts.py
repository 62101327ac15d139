"""Prompts from the command line and from a file, of which only a line is in memory at a time."""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO

from cvae_cli.errors import CorruptError, MissingError, UsageError

_EXAMPLE = 'a line is an object:  {"prompt": "two dogs on a beach"}'


@dataclass(frozen=True)
class Prompt:
    """What to draw, and where that is said: `prompts.txt, line 17`, or nowhere when on the command line."""

    text: str
    place: str = ""


class Prompts:
    """Those `given`, then those of a file.

    A file is text with a prompt a line, of which empty ones are skipped; or, if its name ends in .jsonl, a JSON object
    with "prompt" a line. It is read through at once, so that a mistake in its last line is found before anything is
    drawn, and again whenever the prompts are gone through.

    Args:
        file: its name; `-` is stdin, as text.

    Attributes:
        count: how many there are.

    Raises:
        MissingError: no such file.
        UsageError: the file cannot be read, or has no prompt in it, or an empty one.
        CorruptError: a line is not UTF-8, not JSON, or has no "prompt".
    """

    def __init__(self, given: Sequence[str], file: str | None = None) -> None:
        self._given = [Prompt(text) for text in given]
        self._name = file or ""
        self._is_json = self._name.lower().endswith(".jsonl")
        self._file = _opened(file) if file else None
        self.count = 0
        self.count = sum(1 for _ in self._read())
        if file and self.count == len(given):
            raise UsageError(f"{file} has no prompt in it", hint="--from takes a file with a prompt a line")

    def __iter__(self) -> Iterator[Prompt]:
        return islice(self._read(), self.count)  # a file may grow

    def _read(self) -> Iterator[Prompt]:
        yield from self._given
        if self._file is None:
            return
        here = len(self._given)
        with _readable(self._name):
            self._file.seek(0)
            for number, line in enumerate(self._file, 1):
                place = f"{self._name}, line {number}"
                try:
                    text = line.decode().removeprefix("\ufeff" if number == 1 else "").strip()
                except UnicodeDecodeError as error:
                    raise CorruptError(f"{place}: not text in UTF-8") from error
                if text:
                    here += 1
                    yield Prompt(_prompt_in(text, place) if self._is_json else text, place)
        if here < self.count:
            raise UsageError(f"{self._name} became shorter while it was read")


def slug(prompt: str) -> str:
    """The prompt as part of a file name: lower-case words joined by hyphens, at most 40 characters."""
    return re.sub(r"[^\w]+", "-", prompt.casefold()).strip("-_")[:40].rstrip("-") or "picture"


def _opened(name: str) -> IO[bytes]:
    """The file, or a copy of what can be read only once: stdin, a pipe."""
    with _readable(name):
        file: IO[bytes] = sys.stdin.buffer if name == "-" else Path(name).open("rb")  # noqa: SIM115
        if name != "-" and file.seekable():
            return file
        copy = tempfile.TemporaryFile()  # noqa: SIM115  # stays for as long as the prompts do
        shutil.copyfileobj(file, copy)
        return copy


@contextmanager
def _readable(name: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError as error:
        raise MissingError(f"no file {name}") from error
    except OSError as error:
        raise UsageError(f"cannot read {name}: {(error.strerror or str(error)).lower()}") from error


def _prompt_in(line: str, place: str) -> str:
    """The prompt in a line of JSON."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise CorruptError(f"{place}: not JSON", hint=_EXAMPLE) from error
    if not isinstance(entry, dict) or not isinstance(prompt := entry.get("prompt"), str):
        raise CorruptError(f'{place}: no "prompt" that is a text', hint=_EXAMPLE)
    if not prompt.strip():
        raise UsageError(f"{place}: the prompt is empty")
    return prompt.strip()
