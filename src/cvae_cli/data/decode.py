"""Decode picture files to the size of a data set.

This module imports neither torch nor pydantic, so that the processes that use it start quickly.
"""

from collections.abc import Generator, Sequence
from pathlib import Path

from PIL import Image

from cvae_cli.data.decoders import answer_all
from cvae_cli.data.whole import Place, read_place
from cvae_cli.errors import CvaeError
from cvae_cli.pictures.opening import open_content, open_picture

Chunk = tuple[bytes, dict[str, str]]
"""The pixels of some pictures, one after another, and the errors of those that cannot be read, which are black."""

_MIN_PICTURES = 300  # fewer pictures are decoded faster without starting processes
_CHUNK_BYTES = 1 << 25  # of pixels, at most
_CHUNK_PICTURES = 128  # at most


def chunk_length(size: int) -> int:
    """Return how many pictures of `size` pixels a side are decoded at a time."""
    return max(1, min(_CHUNK_PICTURES, _CHUNK_BYTES // (3 * size * size)))


def decode(root: str, files: Sequence[str | Sequence], size: int) -> Chunk:
    """Decode pictures to RGB, `size` x `size`: scaled by their short side, and cropped to the centre.

    Args:
        files: each the path of a picture in `root`, or the parts of its `Place` in an archive.
    """
    rows = []
    broken = {}
    for file in files:
        try:
            rows.append(_open(root, file, size).tobytes())
        except (CvaeError, OSError) as error:
            broken[file if isinstance(file, str) else file[0]] = str(error)
            rows.append(bytes(3 * size * size))
    return b"".join(rows), broken


def _open(root: str, file: str | Sequence, size: int) -> Image.Image:
    if isinstance(file, str):
        return open_picture(Path(root, file), size=size, channels=3, draft=True)[0]
    place = Place(*file)
    return open_content(read_place(place), place.name, size=size, channels=3)


def decode_all(root: Path, files: Sequence[str | Place], size: int) -> Generator[Chunk, None, None]:
    """Decode all pictures in order, in chunks of `chunk_length(size)`.

    Args:
        files: each the path of a picture in `root`, or its place in an archive.

    Raises:
        CvaeError: a decoding process has ended unexpectedly.
    """
    length = chunk_length(size)
    requests = [[str(root), list(files[start : start + length]), size] for start in range(0, len(files), length)]
    yield from answer_all(decode, requests, in_processes=len(files) >= _MIN_PICTURES)
