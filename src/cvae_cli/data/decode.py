"""Decode picture files to the size of a data set.

This module imports neither torch nor pydantic, so that the processes that use it start quickly.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from cvae_cli.data.decoders import answer_all
from cvae_cli.errors import CvaeError
from cvae_cli.pictures.opening import open_picture

Chunk = tuple[bytes, dict[str, str]]
"""The pixels of some pictures, one after another, and the errors of those that cannot be read, which are black."""

_MIN_PICTURES = 300  # fewer pictures are decoded faster without starting processes
_CHUNK_BYTES = 1 << 25  # of pixels, at most
_CHUNK_PICTURES = 128  # at most


def chunk_length(size: int) -> int:
    """Return how many pictures of `size` pixels a side are decoded at a time."""
    return max(1, min(_CHUNK_PICTURES, _CHUNK_BYTES // (3 * size * size)))


def decode(root: str, files: Sequence[str], size: int) -> Chunk:
    """Decode pictures to RGB, `size` x `size`: scaled by their short side, and cropped to the centre."""
    rows = []
    broken = {}
    for file in files:
        try:
            picture, _ = open_picture(Path(root, file), size=size, channels=3, draft=True)
            rows.append(picture.tobytes())
        except CvaeError as error:
            broken[file] = error.message
            rows.append(bytes(3 * size * size))
    return b"".join(rows), broken


def decode_all(root: Path, files: Sequence[str], size: int) -> Generator[Chunk, None, None]:
    """Decode all pictures in order, in chunks of `chunk_length(size)`.

    Raises:
        CvaeError: a decoding process has ended unexpectedly.
    """
    length = chunk_length(size)
    requests = [[str(root), list(files[start : start + length]), size] for start in range(0, len(files), length)]
    yield from answer_all(decode, requests, in_processes=len(files) >= _MIN_PICTURES)
