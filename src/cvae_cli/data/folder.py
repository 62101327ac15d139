"""Any folder of pictures, as the data set `folder:PATH`.

The folder, or each of its folders train, val and test, has one of the layouts that `folder_layouts` reads:

    metadata.jsonl or .csv      file_name and text of each picture (Hugging Face's imagefolder)
    image.jpg, image.txt        a text file beside each picture, one caption a line
    class/.../image.jpg         a folder for each class (torchvision's ImageFolder)
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from cvae_cli.data.conditions import Labels
from cvae_cli.data.folder_layouts import Found, read_layout
from cvae_cli.data.folder_splits import Division, find_division
from cvae_cli.data.folder_tree import walk
from cvae_cli.data.listing import Listing, note_left_out
from cvae_cli.data.parts import hold_out_tenth
from cvae_cli.data.source import SPLIT_NAMES, ListingSource
from cvae_cli.errors import MissingError, UsageError, quoted
from cvae_cli.events import Callback, ignore
from cvae_cli.pictures.kinds import is_picture

_PREFIX = "folder:"
_TEST_FRACTION = 0.1  # of the pictures of a folder without splits


class Folder(ListingSource):
    """A folder of the user's. Without splits, or with `train` alone, it is divided into train and test."""

    description = "your own pictures: with captions, or in a folder for each class"
    splits = ("train", "val", "test")

    @property
    def full_name(self) -> str:
        """`folder:PATH` with an absolute path.

        Raises:
            UsageError: the path is not valid text, so that a recipe cannot record it.
        """
        path = self.name.removeprefix(_PREFIX)
        full = _PREFIX + os.path.abspath(os.path.expanduser(path)) if path else self.name
        try:
            full.encode()
        except UnicodeEncodeError as error:
            raise UsageError(f"the path of {quoted(self.name)} is not valid text", hint="rename the folder") from error
        return full

    @property
    def short_name(self) -> str:
        """The name of the folder without its path."""
        return Path(self.name.removeprefix(_PREFIX)).resolve().name

    def find_splits(self) -> tuple[str, ...]:
        """Return the splits that exist.

        Raises:
            UsageError: the path is empty or not a folder.
            MissingError: the folder does not exist.
        """
        files = list(walk(self._root()))
        splits = tuple(_count(files, find_division(files)))
        return ("train", "test") if _must_be_divided(splits) else splits

    def validation_split(self) -> str | None:
        return "val" if "val" in self.find_splits() else None

    def has_classes(self) -> bool:
        return isinstance(self.list_pictures("train").conditions, Labels)

    def list_pictures(self, split: str, *, data_dir: Path | None = None, callback: Callback = ignore) -> Listing:
        """List the pictures of a split, sorted by name.

        Raises:
            UsageError: there are no pictures, nothing says what they show, or `data_dir` is given.
            MissingError: the folder, or more than 1% of the pictures that its metadata names, do not exist.
            CorruptError: captions cannot be read.
        """
        if data_dir is not None:
            raise UsageError("a folder's path is in its name", hint="leave out --data-dir")
        root = self._root()
        all_files = list(walk(root))
        division = find_division(all_files)
        counts = _count(all_files, division)
        if _must_be_divided(counts):
            found = read_layout(root, all_files, division, "train" if counts else None)
            files = _divide(found, split, root)
            rest = len(found.files) - len(files)
            summary = [found.describe(), f"{len(files) if split == 'test' else rest:,} of them for tests"]
        else:
            found = read_layout(root, all_files, division, split)
            files = found.files
            others = [f"{each}: {n:,} pictures" for each, n in counts.items() if each != split]
            summary = [f"{split}: {found.describe()}", *others]
        if found.unread:
            summary.append(f"not read: {found.unread}")
        return Listing(
            name=self.full_name,
            split=split,
            root=root,
            files=tuple(files),
            conditions=found.conditions(files),
            licence="not stated",
            summary=" · ".join(summary),
            notes=_note_outside(all_files, division) + division.notes + found.notes,
        )

    def _root(self) -> Path:
        """Return the absolute path of the folder, which exists."""
        if self.name == _PREFIX:
            raise UsageError(f'"{self.name}" names no folder', hint="for example:  folder:path/to/pictures")
        root = Path(self.full_name.removeprefix(_PREFIX))
        if os.path.isdir(root):
            return root
        if os.path.exists(root):
            raise UsageError(f"{root} is not a folder")
        raise MissingError(f"no folder {root}", hint="for example:  folder:path/to/pictures")


def _count(files: Sequence[str], division: Division) -> dict[str, int]:
    """Return the number of pictures of each split that there is."""
    if not division.has_splits:
        return {}
    counts = Counter(division.locate(file)[0] for file in files if is_picture(file))
    return {split: counts[split] for split in dict.fromkeys(SPLIT_NAMES.values()) if counts[split]}


def _must_be_divided(splits: Iterable[str]) -> bool:
    """Return whether there is no split besides `train`."""
    return not set(splits) - {"train"}


def _note_outside(files: Sequence[str], division: Division) -> tuple[str, ...]:
    """Return notes on the pictures outside of the folders of splits, if there are any."""
    if not division.has_splits:
        return ()
    outside = [file for file in files if is_picture(file) and division.locate(file)[0] is None]
    folders = list(dict.fromkeys(file.partition("/")[0] for file in outside if "/" in file))
    loose = [file for file in outside if "/" not in file]
    return note_left_out(
        folders, "folder of pictures that is not a split", "folders of pictures that are not splits"
    ) + note_left_out(loose, "picture beside the folders of splits", "pictures beside the folders of splits")


def _divide(found: Found, split: str, folder: Path) -> list[str]:
    """Return the files of `train` or `test`. Only file names decide, so the division is the same every time.

    The test part has pictures of each class, but takes no class's only picture.
    """
    files = found.files
    if len(files) < 2:
        raise UsageError(
            f"{folder} has a single picture that can be used: too few to learn from and to measure on",
            hint="\n".join(found.notes) or None,
        )
    ranked = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
    if found.labels:
        rows = hold_out_tenth(np.array([found.labels[file] for file in ranked]))
        tested = {ranked[row] for row in rows}
    else:
        tested = set(ranked[: max(1, round(len(files) * _TEST_FRACTION))])
    return [file for file in files if (file in tested) == (split == "test")]
