"""Read a shard from its beginning to its end: its pictures, and how many are lost where it is damaged.

This module imports neither torch nor pydantic, so that the processes that read a stream start quickly.
"""

import tarfile
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO, NamedTuple, cast

from cvae_cli.data.addresses import open_place
from cvae_cli.data.shard_samples import MISSING, captions_of, label_of
from cvae_cli.pictures.kinds import is_picture

_BLOCK = 512  # bytes: the unit of a tar file, which ends with blocks of zeros
_BUFFER = 1 << 14  # bytes that are read at a time
_LOOKED_AT = 1 << 16  # bytes after the end of a tar file, in which more files would show that it is damaged

Report = Callable[[str, str, int], None]
"""Takes the name of a shard or a picture that cannot be read, the problem, and how many pictures are lost."""


class Picture(NamedTuple):
    """A picture as it is in a shard.

    Attributes:
        name: its shard and its file.
        number: of the pictures before it in the shard.
        content: the bytes of its file.
        texts: its captions, or its class.
    """

    name: str
    number: int
    content: bytes
    texts: list[str]


def read_shard(address: str, name: str, each: int, has_classes: bool, report: Report) -> Iterator[Picture]:
    """Yield the pictures of a shard that have a caption or a class, as WebDataset groups its files.

    Args:
        name: of the shard, for messages.
        each: the pictures that a shard has, by which those that are lost are counted.
    """
    from webdataset.tariterators import group_by_keys

    try:
        file = open_place(address)
    except FileNotFoundError:
        return report(name, MISSING, max(1, each))
    except Exception as error:  # the libraries of servers have errors of their own
        return report(name, f"cannot be opened: {error}", max(1, each))
    found = 0
    with file:
        archive = _Archive(file, name)
        for parts in group_by_keys(archive.files(), handler=lambda error: True):  # of files with one name, the first
            ending = next((each for each in parts if is_picture(f".{each}")), None)
            texts = _texts(parts, has_classes)
            if ending is not None:
                found += 1
                if texts:
                    yield Picture(f"{name}/{parts['__key__']}.{ending}", found - 1, parts[ending], texts)
        if not archive.is_whole:
            report(name, "damaged", max(1, each - found))
    return None


def _texts(parts: Mapping[str, Any], has_classes: bool) -> list[str]:
    told = {ending: content for ending, content in parts.items() if not ending.startswith("__")}
    if not has_classes:
        return captions_of(told)
    label = label_of(told)
    return [] if label is None else [label]


class _Archive:
    """A tar file that is read once, forward.

    WebDataset's own reader does not say where it stops, and tarfile takes damage after the first member for the end.

    Attributes:
        is_whole: whether it was read to its end, and nothing follows. It is known when all files were.
    """

    def __init__(self, file: BinaryIO, name: str) -> None:
        self._file, self._name = file, name
        self._last, self._end = b"", 0  # what was read last, and where it ends
        self.is_whole = False

    def read(self, n: int) -> bytes:
        """Read `n` bytes, fewer only at the end. tarfile calls this, with its buffer's size."""
        parts = [self._file.read(n)]
        while parts[-1] and sum(map(len, parts)) < n:  # a server may give less at a time
            parts.append(self._file.read(n - sum(map(len, parts))))
        self._last = b"".join(parts)
        self._end += len(self._last)
        return self._last

    def files(self) -> Iterator[dict[str, Any]]:
        """Yield the files, up to where the damage begins, in the form that WebDataset groups."""
        try:
            with tarfile.open(fileobj=cast("BinaryIO", self), mode="r|", bufsize=_BUFFER) as tar:
                for member in tar:
                    if member.isreg():
                        content = tar.fileobj.read(member.size)  # faster than a file object of its own
                        if len(content) < member.size:
                            return
                        yield {"fname": member.name, "data": content, "__url__": self._name}
                    tar.members = []  # type: ignore[attr-defined]  # which would otherwise grow with the archive
                end = tar.offset
        except Exception:  # of tarfile, or of a server's library
            return
        start = len(self._last) - (self._end - end)
        is_end = start >= 0 and self._last[start : start + _BLOCK] == bytes(_BLOCK)
        rest = self._last[start:] + self._file.read(_LOOKED_AT)
        self.is_whole = is_end and not rest.strip(b"\0")
