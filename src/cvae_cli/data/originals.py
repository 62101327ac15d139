"""Sets of pictures in their own sizes, to be measured: folders, tar files, and splits of data sets."""

import hashlib
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvae_cli.data.catalog import evaluation_split, find_source, is_known, names
from cvae_cli.data.folder_tree import describe_unread, walk
from cvae_cli.data.shards import check_archive, list_shards
from cvae_cli.data.source import ArraySource, ListingSource, canonical_split
from cvae_cli.data.whole import Original, Place, read_whole
from cvae_cli.errors import MissingError, UsageError, did_you_mean
from cvae_cli.events import Callback, ignore
from cvae_cli.pictures.kinds import COMMON, is_picture


@dataclass(frozen=True)
class Originals(ABC):
    """Pictures in their own sizes.

    Attributes:
        source: what the user calls them.
        dataset: the data set that they are, or "".
        notes: sentences for the user on what was found.
    """

    source: str
    dataset: str = ""
    notes: tuple[str, ...] = ()

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, part: slice, *, decode: bool = True) -> Iterator[Original]:
        """Yield a part of the pictures in order, those that cannot be read too; without `decode` their digests only."""

    @abstractmethod
    def take(self, indices: Sequence[int]) -> "Originals":
        """Return the pictures at `indices`."""

    def sample(self, n: int | None, seed: int) -> "Originals":
        """Return `n` random pictures in their order, or all when there are fewer. The seed determines which."""
        if n is None or n >= len(self):
            return self
        return self.take(np.sort(np.random.default_rng(seed).permutation(len(self))[:n]).tolist())


@dataclass(frozen=True)
class FileOriginals(Originals):
    """Pictures in files or archives."""

    places: tuple[Place, ...] = ()

    def __len__(self) -> int:
        return len(self.places)

    def read(self, part: slice, *, decode: bool = True) -> Iterator[Original]:
        return read_whole(self.places[part], decode=decode)

    def take(self, indices: Sequence[int]) -> "Originals":
        return replace(self, places=tuple(self.places[index] for index in indices))


@dataclass(frozen=True)
class ArrayOriginals(Originals):
    """Pictures of one size in memory."""

    pixels: UInt8[np.ndarray, "n h w c"] | None = None

    @property
    def _pixels(self) -> UInt8[np.ndarray, "n h w c"]:
        assert self.pixels is not None
        return self.pixels

    def __len__(self) -> int:
        return len(self._pixels)

    def read(self, part: slice, *, decode: bool = True) -> Iterator[Original]:
        for pixels in self._pixels[part]:
            digest = hashlib.sha256(f"{pixels.shape} ".encode() + pixels.tobytes()).hexdigest()
            yield Original(digest, np.broadcast_to(pixels, (*pixels.shape[:2], 3)) if decode else None)

    def take(self, indices: Sequence[int]) -> "Originals":
        return replace(self, pixels=self._pixels[list(indices)])


def find_originals(
    source: str, *, split: str | None = None, data_dir: Path | None = None, callback: Callback = ignore
) -> Originals:
    """Find the pictures that a name or a path stands for, without decoding them.

    Args:
        source: a folder, which may have folders; a .tar file, or a folder of them; or a data set.
        split: of a data set; `test` if absent, or `val` where there is no `test`.
        data_dir: a folder with the published files of a data set, instead of the cache.

    Raises:
        UsageError: the source has no pictures, or is none.
        MissingError: there is no such folder, or a file of a data set is missing.
        CorruptError: a tar file, or a file of a data set, is damaged.
    """
    if is_known(source):
        return _of_dataset(source, split or evaluation_split(source), data_dir, callback)
    path = Path(os.path.expanduser(source))
    if not source or not os.path.exists(path):
        raise MissingError(
            f"no folder {source}.{did_you_mean(source, names())}",
            hint=f"give a folder of pictures, .tar files, or a data set: {', '.join(names())}",
        )
    if not os.path.isdir(path):
        check_archive(path)
        return _of_shards(source, [path])
    try:
        files = sorted(walk(path))
    except PermissionError as error:
        raise UsageError(f"cannot read {error.filename}: permission denied") from error
    pictures = [file for file in files if is_picture(file)]
    if not pictures and (shards := [path / file for file in files if file.endswith(".tar")]):
        return _of_shards(source, shards)
    unread = describe_unread([file for file in files if not is_picture(file)])
    if not pictures:
        found = f"; not read: {unread}" if unread else ""
        raise UsageError(f"{source} has no pictures{found}", hint=f"pictures are {' '.join(COMMON)} and others")
    notes = (f"{source}: not read: {unread}",) if unread else ()
    return FileOriginals(source, notes=notes, places=_places(path, pictures))


def _of_shards(source: str, paths: Sequence[Path]) -> Originals:
    places = tuple(list_shards(paths))
    if not places:
        raise UsageError(f"{source} has no pictures")
    return FileOriginals(source, places=places)


def _of_dataset(name: str, split: str, data_dir: Path | None, callback: Callback) -> Originals:
    source = find_source(name)
    source.check_split(split)
    called = f"{source.short_name} {canonical_split(split)}"
    if isinstance(source, ListingSource):
        listing = source.list_pictures(canonical_split(split), data_dir=data_dir, callback=callback)
        notes = tuple(f"{name}: {note}" for note in listing.notes)
        return FileOriginals(called, source.full_name, notes, listing.places or _places(listing.root, listing.files))
    assert isinstance(source, ArraySource)
    data = source.read(canonical_split(split), data_dir=data_dir, callback=callback)
    return ArrayOriginals(called, source.full_name, pixels=data.images)


def _places(root: Path, files: Sequence[str]) -> tuple[Place, ...]:
    """The places of files in a folder. One that cannot be looked at is found out when it is read."""
    places = []
    for file in files:
        path = root / file
        try:
            length = path.stat().st_size if path.is_file() else 0
        except OSError:
            length = 0
        places.append(Place(str(path), str(path), 0, length))
    return tuple(places)
