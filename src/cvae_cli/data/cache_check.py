"""Compare everything prepared in the cache with its digests: what `cvae cache verify` does, as a function."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cvae_cli.data.cache import prepared_home
from cvae_cli.data.prepared import Prepared, UnusableError, is_as_written, read_prepared
from cvae_cli.errors import CorruptError, byte_size
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.weights.registry import REGISTRY, AddressWeights

State = Literal["sound", "damaged", "unfinished", "without digests"]
"""A build that was stopped is unfinished; pictures that version 0.1.0 prepared have no digests."""


@dataclass(frozen=True)
class CheckedFolder:
    """A folder of prepared pictures, or a file of weights.

    Attributes:
        name, split, size, pictures: of the data set, as far as they are known.
        length: of the folder, in bytes.
    """

    folder: Path
    state: State
    name: str = ""
    split: str = ""
    size: int | None = None
    pictures: int | None = None
    length: int = 0

    def row(self) -> list[str]:
        """The row in a table."""
        size = f"{self.size}x{self.size}" if self.size else ""
        pictures = "" if self.pictures is None else f"{self.pictures:,}"
        name = self.name or self.folder.name
        return [self.state, name, self.split, size, pictures, byte_size(self.length)]


def check_cache(callback: Callback = ignore) -> list[CheckedFolder]:
    """Compare all prepared pictures, with their vectors, and all downloaded weights with their digests.

    Damaged pictures are marked, so that they are prepared anew when they are next used. Weights are compared before
    each use, and downloaded again.

    Args:
        callback: receives the progress.
    """
    home = prepared_home()
    folders = sorted(each for each in home.iterdir() if each.is_dir()) if home.is_dir() else []
    return [*(_check(folder, callback) for folder in folders), *_check_weights(callback)]


def _check(folder: Path, callback: Callback) -> CheckedFolder:
    length = sum(file.stat().st_size for file in folder.iterdir() if file.is_file())
    if folder.suffix == ".part":
        return CheckedFolder(folder, "unfinished", length=length)
    try:
        prepared = read_prepared(folder)
    except UnusableError:
        return CheckedFolder(folder, "damaged", length=length)
    state: State = "sound" if prepared.chunks else "without digests"
    try:
        _compare(prepared, callback)
        if not all(is_as_written(path) for path in folder.glob("captions-*.f16")):
            state = "damaged"
    except CorruptError:
        state = "damaged"
    return CheckedFolder(folder, state, prepared.name, prepared.split, prepared.size, len(prepared.files), length)


def _check_weights(callback: Callback) -> Iterator[CheckedFolder]:
    """Compare the weights of the registry that are in this program's cache with their digests."""
    for entry in REGISTRY.values():
        path = entry.target if isinstance(entry, AddressWeights) else None
        if path is not None and path.is_file():
            callback(Progress(f"verifying {entry.name}", 0, None))
            yield CheckedFolder(
                path,
                "sound" if entry.is_intact(path) else "damaged",
                f"weights {entry.name}",
                length=path.stat().st_size,
            )


def _compare(prepared: Prepared, callback: Callback) -> None:
    """Compare the pixels with their digests, chunk by chunk, also if this process has done so before."""
    pixels = prepared.map()
    prepared.checked.fill(False)
    for end in prepared.ends.tolist():
        prepared.check(pixels, np.array([end - 1]))
        callback(Progress(f"verifying {prepared.folder.name}", end * pixels[:1].nbytes, pixels.nbytes, "B"))
