"""The samples of a shard: a picture and what is said about it, in files whose names differ in their endings only.

This module imports neither torch nor pydantic, so that the processes that read a stream start quickly.
"""

import json
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

from cvae_cli.data.shards import Member, members
from cvae_cli.errors import CorruptError
from cvae_cli.pictures.kinds import is_picture

MISSING = "missing"
"""The problem of a shard that is not there."""

_TOLD_BY = {"txt", "caption", "json", "cls"}
_CAPTION_KEYS = ("caption", "captions", "text", "prompt")  # of a .json file; img2dataset's, and that of `generate`
_MAX_TOLD = 1 << 20  # bytes of a file that says what a picture shows
_GROUP = 10  # consecutive pictures of a shard, of which one is for tests
_NAME = re.compile(r"((?:.*/|)[^.]+)[.]([^/]*)")  # as WebDataset divides it into a key and an ending

Parts = Mapping[str, bytes]
"""The contents of a sample's files, by their endings in lower case."""


class Sample(NamedTuple):
    """A picture in a shard.

    Attributes:
        name: of its file.
        number: of the pictures before it in the shard.
        start, length: the bytes of the shard that it takes.
        captions: what it shows.
        label: its class, as a file says it.
    """

    name: str
    number: int
    start: int
    length: int
    captions: list[str]
    label: str | None


def read_index(path: Path) -> tuple[list[Sample], str]:
    """Read what a shard on this machine holds, without its pictures.

    Returns:
        the samples that have a picture, and what is wrong with the shard; "" if nothing is.
    """
    found: list[Member] = []
    problem = ""
    try:
        found.extend(members(path))
    except CorruptError as error:
        problem = error.message.removeprefix(f"{path} is ")
    with path.open("rb") as file:

        def read(member: Member) -> bytes:
            file.seek(member.start)
            return file.read(min(member.length, _MAX_TOLD))

        samples: list[Sample] = []
        for files in _groups(found):
            picture = next((ending for ending in files if is_picture(f".{ending}")), None)
            if picture is None:
                continue
            parts = {ending: read(each) for ending, each in files.items() if _kind(ending) in _TOLD_BY}
            name, start, length = files[picture]
            samples.append(Sample(name, len(samples), start, length, captions_of(parts), label_of(parts)))
    return samples, problem


def _groups(found: Iterable[Member]) -> Iterator[dict[str, Member]]:
    """Yield the files of each sample, by their endings."""
    named = ((match, member) for member in found if (match := _NAME.fullmatch(member.name)))
    for _, group in groupby(named, key=lambda each: each[0][1]):
        files: dict[str, Member] = {}
        for match, member in group:
            files.setdefault(match[2].lower(), member)
        yield files


def captions_of(parts: Parts) -> list[str]:
    """Return the captions of a sample: the lines of its text file, or what its JSON says."""
    for kind in ("txt", "caption"):
        for ending, content in parts.items():
            if _kind(ending) == kind and (lines := _clean(content.decode(errors="replace").splitlines())):
                return lines
    for ending, content in parts.items():
        if _kind(ending) == "json":
            return _clean(_texts(content))
    return []


def label_of(parts: Parts) -> str | None:
    """Return the class of a sample, if a file says it."""
    for ending, content in parts.items():
        if _kind(ending) == "cls" and (label := content.decode(errors="replace").strip()):
            return label
    return None


def is_for_tests(shard: str, number: int, *, offset: int = 0) -> bool:
    """Whether a picture of shards without splits is for tests: one of ten consecutive ones, which the names decide.

    Args:
        shard: the name of the shard.
        number: of the pictures before this one in the shard.
        offset: 1 asks for the picture after it instead, which is never the same.
    """
    group, place = divmod(number, _GROUP)
    return place == (zlib.crc32(f"{shard} {group}".encode()) + offset) % _GROUP


def _kind(ending: str) -> str:
    return ending.rpartition(".")[2]


def _texts(content: bytes) -> list[str]:
    """Return the captions that a JSON file has."""
    try:
        values: Any = json.loads(content)
    except (ValueError, RecursionError):
        return []
    value: Any = next((values[key] for key in _CAPTION_KEYS if values.get(key)), []) if isinstance(values, dict) else []
    return [each for each in (value if isinstance(value, list) else [value]) if isinstance(each, str)]


def _clean(lines: Iterable[str]) -> list[str]:
    cleaned = (" ".join(line.encode(errors="replace").decode().split()) for line in lines)
    return [line for line in cleaned if line]
