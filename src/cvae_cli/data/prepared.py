"""A folder of prepared pictures: what it holds, and whether its pixels are still those that were written.

`pixels.bin` has the bytes of all pictures one after another, and `index.json` says what they are: the names of the
files, which of them are broken, what vouches for the files (their inodes and times of change), and a digest of each
chunk of pixels. Version 1 of the index has neither.
"""

import contextlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, UInt8

from cvae_cli.errors import CorruptError

PIXELS, INDEX = "pixels.bin", "index.json"
FORMAT = 2

Broken = dict[str, str]
"""The pictures that cannot be read, and why."""
Chunk = tuple[int, str]
"""The number of pictures up to the end of a chunk of pixels, and the digest of the chunk."""

_checked: dict[tuple[str, int, int], Bool[np.ndarray, " c"]] = {}
"""Which chunks this process has compared with their digests, by a path and the identity of its file.

For pixels the path is that of the folder and the file is the index."""


class UnusableError(Exception):
    """A folder that holds no complete prepared pictures; the message says why, as a part of a sentence."""


def pixels_digest(content: Any) -> str:
    """Return the digest of some bytes. It finds damage; it is no protection against forgery."""
    import xxhash  # not needed to draw pictures

    return xxhash.xxh3_128_hexdigest(content)


@dataclass(frozen=True)
class Prepared:
    """A complete folder of prepared pictures.

    Attributes:
        folder: where it is.
        name, split: of the data set; empty in version 1.
        size: pixels a side.
        files: the names of the pictures.
        broken: those that cannot be read.
        vouched: a digest of the inodes and times of change of the picture files; None in version 1.
        chunks: the digests of the pixels; none in version 1.
        made_ns: when the index was written.
        checked: for each chunk whether this process has compared it with its digest.
    """

    folder: Path
    name: str
    split: str
    size: int
    files: tuple[str, ...]
    broken: Broken
    vouched: str | None
    chunks: tuple[Chunk, ...]
    made_ns: int
    checked: Bool[np.ndarray, " c"] = field(compare=False)

    @property
    def ends(self) -> Int64[np.ndarray, " c"]:
        """The number of pictures up to the end of each chunk."""
        return np.array([end for end, _ in self.chunks], np.int64)

    def map(self) -> UInt8[np.ndarray, "m h w c"]:
        """Map the pixels into memory, read-only."""
        shape = (len(self.files), self.size, self.size, 3)
        return np.asarray(np.memmap(self.folder / PIXELS, np.uint8, mode="r", shape=shape))

    def check(self, pixels: UInt8[np.ndarray, "m h w c"], rows: Int64[np.ndarray, " b"] | None = None) -> None:
        """Compare the chunks that hold `rows`, or all, with their digests; each only once in a process.

        Raises:
            CorruptError: a chunk has changed. The folder is marked, so that it is prepared anew when it is next used.
        """
        if self.checked.all():
            return
        chosen = np.arange(len(self.chunks)) if rows is None else np.unique(self.ends.searchsorted(rows, "right"))
        for chunk in chosen[~self.checked[chosen]].tolist():
            start = self.chunks[chunk - 1][0] if chunk else 0
            end, digest = self.chunks[chunk]
            if pixels_digest(pixels[start:end]) != digest:
                mark_damaged(self.folder)
                raise CorruptError(
                    f"the prepared pictures in {self.folder} are damaged (among pictures {start + 1:,} to {end:,})",
                    hint="run the same command again: they are prepared again",
                )
            self.checked[chunk] = True


def is_as_written(path: Path) -> bool:
    """Whether a file beside the pixels is as `write_digest` found it; one of an earlier version has no digest.

    It is compared once in a process.
    """
    about = path.stat()
    key = str(path), about.st_ino, about.st_mtime_ns
    digest = _digest_file(path)
    if key not in _checked and digest.exists():
        _checked[key] = np.array([_content_digest(path).encode() == digest.read_bytes()])
    return bool(_checked.get(key, np.ones(1, bool)).all())


def write_digest(content: Path, path: Path) -> None:
    """Write the digest of the file `content`, which is about to be renamed to `path`."""
    _digest_file(path).write_text(_content_digest(content))


def _content_digest(path: Path) -> str:
    return pixels_digest(np.memmap(path, np.uint8, "r") if path.stat().st_size else b"")  # nothing cannot be mapped


def _digest_file(path: Path) -> Path:
    return path.with_name(path.name + ".digest")


def read_prepared(folder: Path) -> Prepared:
    """Read the index of a folder.

    Raises:
        UnusableError: the folder is missing, or its index or its pixels are missing or damaged.
    """
    try:
        index = json.loads((folder / INDEX).read_bytes())
        about = (folder / INDEX).stat()
        length = (folder / PIXELS).stat().st_size
    except (OSError, ValueError, RecursionError) as error:
        raise UnusableError("damaged") from error
    if not _is_index(index) or length != len(index["files"]) * 3 * index["size"] ** 2:
        raise UnusableError("damaged")
    chunks = tuple((end, digest) for end, digest in index.get("chunks", ()))
    key = str(folder), about.st_ino, about.st_mtime_ns
    return Prepared(
        folder=folder,
        name=index.get("name", ""),
        split=index.get("split", ""),
        size=index["size"],
        files=tuple(index["files"]),
        broken=index["broken"],
        vouched=index.get("vouched"),
        chunks=chunks,
        made_ns=about.st_ctime_ns,
        checked=_checked.setdefault(key, np.zeros(len(chunks), bool)),
    )


def _is_index(index: Any) -> bool:
    """Whether a value read from JSON has the parts of an index, and they fit each other."""
    if not isinstance(index, dict) or type(size := index.get("size")) is not int or size < 1:
        return False
    files, broken = index.get("files"), index.get("broken")
    if not (isinstance(files, list) and files and are_texts(files)):
        return False
    if not (isinstance(broken, dict) and are_texts(broken.values()) and broken.keys() <= set(files)):
        return False
    if index.get("format") == 1:
        return not index.keys() & {"chunks", "vouched"}
    chunks = index.get("chunks")
    return (
        index.get("format") == FORMAT
        and are_texts(index.get(key) for key in ("name", "split", "vouched"))
        and isinstance(chunks, list)
        and _cover(chunks, len(files))
    )


def are_texts(values: Iterable[Any]) -> bool:
    """Whether all values are texts."""
    return all(isinstance(value, str) for value in values)


def _cover(chunks: list[Any], n: int) -> bool:
    """Whether the chunks are in order and hold `n` pictures."""
    end = 0
    for chunk in chunks:
        match chunk:
            case [int(next_end), str()] if next_end > end:
                end = next_end
            case _:
                return False
    return end == n


def write_index(
    *, name: str, split: str, size: int, files: tuple[str, ...], broken: Broken, vouched: str, chunks: list[Chunk]
) -> bytes:
    """Return the content of `index.json`; see `Prepared`."""
    index = {"format": FORMAT, "name": name, "split": split, "size": size, "vouched": vouched, "chunks": chunks}
    return json.dumps({**index, "broken": broken, "files": files}).encode()


def mark_damaged(folder: Path) -> None:
    """Remove the index of a folder, so that its pictures are prepared anew when they are next used."""
    with contextlib.suppress(OSError):
        (folder / INDEX).unlink()
