"""Decode pictures in their own sizes, with a digest of each file.

This module imports neither torch nor pydantic, so that the processes that use it start quickly.
"""

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from cvae_cli.data.decoders import answer_all
from cvae_cli.data.process import Answer
from cvae_cli.errors import CvaeError
from cvae_cli.paths import check_regular
from cvae_cli.pictures.opening import open_whole

_MIN_PICTURES = 300  # fewer pictures are decoded faster without starting processes
_CHUNK_PICTURES = 64  # that a process decodes at a time, at most,
_CHUNK_BYTES = 1 << 21  # and of so many bytes of their files


class Place(NamedTuple):
    """Where the file of a picture is: a file of its own, or a part of an archive.

    Attributes:
        name: for messages.
        path: of the file or the archive.
        start, length: the part of it, in bytes.
    """

    name: str
    path: str
    start: int
    length: int


@dataclass(frozen=True)
class Original:
    """A picture in its own size.

    Attributes:
        sha256: of the bytes of its file.
        pixels: RGB, uint8 `(h, w, 3)`; None if it cannot be read.
        problem: why it cannot be read.
        changes: what was done to make it RGB of 8 bits, see `open_picture`.
    """

    sha256: str
    pixels: NDArray[np.uint8] | None = None
    problem: str = ""
    changes: tuple[str, ...] = ()


def read_whole(places: Sequence[Place], *, decode: bool = True) -> Iterator[Original]:
    """Yield the pictures in order, decoded in several processes if they are many.

    Args:
        decode: without it, only the digests are computed.

    Raises:
        CvaeError: a decoding process has ended unexpectedly.
    """
    requests = [[[list(place) for place in chunk], decode] for chunk in _chunks(places)]
    with closing(answer_all(decode_whole, requests, in_processes=len(places) >= _MIN_PICTURES)) as answers:
        for content, told in answers:
            yield from _originals(content, told)


def decode_whole(places: Sequence[Sequence], decode: bool) -> Answer:
    """Read pictures at places; a unit of work for `answer_all`.

    Returns:
        the pixels, one picture after another, and for each its digest, height, width, problem and changes.
    """
    parts, told = [], []
    for place in places:
        content, height, width, problem = b"", 0, 0, ""
        changes: list[str] = []
        try:
            content = read_place(Place(*place))
            if decode:
                picture, changes = open_whole(content, place[0], channels=3)
                width, height = picture.size
                parts.append(picture.tobytes())
        except CvaeError as error:
            problem = error.message
        except OSError as error:
            problem = f"cannot read {place[0]}: {(error.strerror or type(error).__name__).lower()}"
        told.append([hashlib.sha256(content).hexdigest(), height, width, problem, changes])
    return b"".join(parts), told


def read_place(place: Place) -> bytes:
    """Return the bytes of a picture's file.

    Raises:
        UsageError: the path is a folder, a pipe or a device.
        OSError: it cannot be read.
    """
    check_regular(Path(place.path))
    with open(place.path, "rb") as file:
        file.seek(place.start)
        return file.read(place.length if place.start else -1)  # no member of an archive is at its start


def _chunks(places: Sequence[Place]) -> Iterator[list[Place]]:
    """Divide places so that the work on each part is small."""
    chunk: list[Place] = []
    for place in places:
        if chunk and (len(chunk) == _CHUNK_PICTURES or sum(each.length for each in chunk) >= _CHUNK_BYTES):
            yield chunk
            chunk = []
        chunk.append(place)
    if chunk:
        yield chunk


def _originals(content: bytes, told: Sequence[Sequence]) -> Iterator[Original]:
    """Yield the pictures of an answer."""
    start = 0
    for sha256, height, width, problem, changes in told:
        size = 3 * height * width
        pixels = np.frombuffer(content, np.uint8, size, start).reshape(height, width, 3) if size else None
        start += size
        yield Original(sha256, pixels, problem, tuple(changes))
