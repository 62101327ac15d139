"""Compare everything prepared in the cache with its digests: what `cvae cache verify` does, as a function."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from cvae_cli.data.cache import prepared_home
from cvae_cli.data.prepared import Prepared, UnusableError, is_as_written, read_prepared
from cvae_cli.errors import CorruptError
from cvae_cli.events import Callback, Progress, ignore

State = Literal["sound", "damaged", "unfinished", "without digests"]
"""A build that was stopped is unfinished; pictures that version 0.1.0 prepared have no digests."""


@dataclass(frozen=True)
class CheckedFolder:
    """A folder of prepared pictures.

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


def check_cache(callback: Callback = ignore) -> list[CheckedFolder]:
    """Compare all prepared pictures with their digests.

    Damaged ones are marked, so that they are prepared anew when they are next used.

    Args:
        callback: receives the progress.
    """
    home = prepared_home()
    folders = sorted(each for each in home.iterdir() if each.is_dir()) if home.is_dir() else []
    return [_check(folder, callback) for folder in folders]


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
        if not all(is_as_written(path) for path in folder.glob("captions-*.f16") if path.stat().st_size):
            state = "damaged"
    except CorruptError:
        state = "damaged"
    return CheckedFolder(folder, state, prepared.name, prepared.split, prepared.size, len(prepared.files), length)


def _compare(prepared: Prepared, callback: Callback) -> None:
    """Compare the pixels with their digests, chunk by chunk, also if this process has done so before."""
    pixels = prepared.map()
    prepared.checked.fill(False)
    for end in prepared.ends.tolist():
        prepared.check(pixels, np.array([end - 1]))
        callback(Progress(f"verifying {prepared.folder.name}", end * pixels[:1].nbytes, pixels.nbytes, "B"))
