"""What is known of picture files before any of them is opened: their names, and what they show."""

import posixpath
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath

import numpy as np

from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.parts import spread
from cvae_cli.data.whole import Place
from cvae_cli.errors import CorruptError, MissingError

MAX_LOST = 0.01
"""The largest fraction of a data set's pictures that may be missing or damaged. More means that the copy is faulty."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """The picture files of one split.

    Attributes:
        name: of the data set.
        split: which split it is.
        root: the folder that contains `files`.
        files: paths of the `n` pictures, relative to `root`, with `/` between the parts.
        conditions: the class or the captions of each picture, in the same order.
        licence: of the pictures.
        summary: what was found, in one line.
        notes: sentences for the user on how the pictures were found.
        places: where each picture is, if they are parts of archives; `files` are then no paths.
    """

    name: str
    split: str
    root: Path
    files: tuple[str, ...]
    conditions: Labels | Captions
    licence: str
    summary: str = ""
    notes: tuple[str, ...] = ()
    places: tuple[Place, ...] = ()

    def limit(self, n: int | None) -> "Listing":
        """Return a listing of `n` pictures, or of all when there are fewer or `n` is absent.

        They are the first ones with captions; with classes, the first ones of each class.
        """
        if n is None or n >= len(self.files):
            return self
        if isinstance(self.conditions, Captions):
            conditions = self.conditions.take(np.arange(n)).compact()
            return replace(self, files=self.files[:n], places=self.places[:n], conditions=conditions)
        rows = spread(self.conditions.indices, n)
        files, places = (tuple(each[row] for row in rows) if each else () for each in (self.files, self.places))
        return replace(self, files=files, places=places, conditions=self.conditions.take(rows))


def check_file_name(name: str, where: str) -> str:
    """Return a file name found in data in normal form, with `/` between the parts.

    Args:
        where: the file that contains the name, perhaps with the line, for the message.

    Raises:
        CorruptError: the name is absolute or leaves the folder, on any system. Data must not choose which files of
            the user's are opened.
    """
    windows = PureWindowsPath(name)  # knows both kinds of slashes
    inside = posixpath.normpath(windows.as_posix())
    if windows.anchor or inside == "." or inside.split("/")[0] == "..":
        raise CorruptError(f'{where}: file_name "{name}" is not a file inside the folder')
    return posixpath.normpath(name)


def clean_caption(caption: str) -> str:
    """Return a caption as valid text on one line, without spaces around it."""
    return " ".join(caption.encode(errors="replace").decode().split())


def note_left_out(files: Sequence[str], one: str, many: str) -> tuple[str, ...]:
    """Return a note that `files` are left out, or none when there are none.

    Args:
        one: describes one file, such as `picture without a caption`.
        many: describes several files.
    """
    match len(files):
        case 0:
            return ()
        case 1:
            return (f"1 {one} is left out: {files[0]}",)
        case n:
            return (f"{n:,} {many} are left out, the first {files[0]}",)


def note_missing(files: Sequence[str], n_named: int, source: Path, *, hint: str = "") -> tuple[str, ...]:
    """Return a note that `files` do not exist, or none when there are none.

    Args:
        n_named: the number of files that `source` names.
        hint: what may help, besides a complete copy.

    Raises:
        MissingError: more than `MAX_LOST` of the named files do not exist.
    """
    if len(files) > n_named * MAX_LOST:
        raise MissingError(
            f"{source} names {n_named:,} pictures, and {len(files):,} of them are not there, the first {files[0]}",
            hint=hint or "check that the copy is complete",
        )
    return note_left_out(
        files,
        f"picture that {source.name} names is not there and",
        f"pictures that {source.name} names are not there and",
    )
