"""What a source of pictures knows before any of them is opened: their names, and what they show."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np

from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.errors import CorruptError, MissingError

MOST_LOST = 0.01
"""The part of a data set's pictures that may be absent or damaged; with more, something is wrong with the copy."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One split of a source.

    Attributes:
        root: the folder that `files` are in.
        files: the pictures, relative to `root`, with `/` between the parts; `n` of them.
        conditions: what is known of each, in the same order.
        licence: under which the pictures come.
        notes: what a user should know of how they were found, a sentence each.
    """

    name: str
    split: str
    root: Path
    files: tuple[str, ...]
    conditions: Labels | Captions
    licence: str
    notes: tuple[str, ...] = ()

    def limit(self, n: int | None) -> "Listing":
        """The first `n` pictures, or all of them."""
        if n is None or n >= len(self.files):
            return self
        conditions = self.conditions.take(np.arange(n))
        conditions = conditions.compact() if isinstance(conditions, Captions) else conditions
        return replace(self, files=self.files[:n], conditions=conditions)


def inside(name: str, where: str) -> str:
    """A file's name as data gives it, in its plain form.

    Args:
        where: the file that gives it, and perhaps the line, for the message.

    Raises:
        CorruptError: it is absolute or leads out of the folder, on any system: data must not choose what is opened.
    """
    windows = PureWindowsPath(name)
    if windows.anchor or windows.drive or ".." in windows.parts or PurePosixPath(name).parts in {(), ("/",)}:
        raise CorruptError(f'{where}: file_name "{name}" is not a file inside the folder')
    return PurePosixPath(name).as_posix()


def one_line(caption: str) -> str:
    """A caption without what surrounds it, on one line, and as valid text."""
    return " ".join(caption.encode(errors="replace").decode().split())


def left_out(files: Sequence[str], one: str, many: str) -> tuple[str, ...]:
    """A note that `files` are left out, if there are any.

    Args:
        one: what one of them is, as `picture without a caption`.
        many: what several are.
    """
    match len(files):
        case 0:
            return ()
        case 1:
            return (f"1 {one} is left out: {files[0]}",)
        case n:
            return (f"{n:,} {many} are left out, the first {files[0]}",)


def absent(files: Sequence[str], named: int, source: Path) -> tuple[str, ...]:
    """A note that `files` are not there, if there are any.

    Args:
        named: how many files `source` names.

    Raises:
        MissingError: they are too many to go on without.
    """
    if len(files) > named * MOST_LOST:
        raise MissingError(
            f"{source} names {named:,} pictures, and {len(files):,} of them are not there, the first {files[0]}",
            hint="is the copy complete?",
        )
    return left_out(
        files,
        f"picture that {source.name} names is not there and",
        f"pictures that {source.name} names are not there and",
    )
