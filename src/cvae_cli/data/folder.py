"""Any folder of pictures, as the data set `folder:PATH`.

The folder, or each of its folders train, val and test, has one of the layouts that `folder_layouts` reads:

    metadata.jsonl or .csv      file_name and text of each picture (Hugging Face's imagefolder)
    image.jpg, image.txt        a text file beside each picture, one caption a line
    class/.../image.jpg         a folder for each class (torchvision's ImageFolder)
"""

import hashlib
import os
from pathlib import Path

import numpy as np

from cvae_cli.data.conditions import Labels
from cvae_cli.data.folder_layouts import Found, has_picture, is_picture, read_layout, subfolders
from cvae_cli.data.listing import Listing, note_left_out
from cvae_cli.data.parts import hold_out_tenth
from cvae_cli.data.source import SPLIT_NAMES, ListingSource
from cvae_cli.errors import MissingError, UsageError, quoted
from cvae_cli.events import Callback, ignore

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
            UsageError: the path is empty or not a folder, or two folders mean the same split.
            MissingError: the folder does not exist.
        """
        folders, _ = _split_folders(self._root())
        return ("train", "test") if _must_be_divided(folders) else tuple(folders)

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
            raise UsageError("a folder's path is in its name", hint=f"without --data-dir: {self.full_name}")
        root = self._root()
        folders, others = _split_folders(root)
        is_divided = _must_be_divided(folders)
        folder = folders.get("train", root) if is_divided else folders[split]
        found = read_layout(root, folder, [other for other in folders.values() if other != folder])
        files = _divide(found, split, folder) if is_divided else found.files
        notes = note_left_out(others, "folder of pictures that is no split", "folders of pictures that are no split")
        return Listing(
            name=self.full_name,
            split=split,
            root=root,
            files=tuple(files),
            conditions=found.conditions(files),
            licence="not stated",
            notes=notes + found.notes,
        )

    def _root(self) -> Path:
        """Return the absolute path of the folder, which exists."""
        if self.name == _PREFIX:
            raise UsageError(f'"{self.name}" names no folder', hint="as in folder:path/to/pictures")
        root = Path(self.full_name.removeprefix(_PREFIX))
        if os.path.isdir(root):
            return root
        if os.path.exists(root):
            raise UsageError(f"{root} is not a folder")
        raise MissingError(f"no folder {root}")


def _split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """Return the folder of each split, by the split's name, and the names of other folders with pictures.

    A single folder with a split's name is a class if it looks like the other folders: a train is also a vehicle.
    """
    found: dict[str, Path] = {}
    others = []
    for folder in subfolders(root):
        split = SPLIT_NAMES.get(folder.name.casefold())
        if split is None:
            others.append(folder)
        elif split in found:
            raise UsageError(f"{root} has both {found[split].name} and {folder.name}", hint="they mean the same split")
        else:
            found[split] = folder
    with_pictures = [folder.name for folder in others if found and has_picture(folder)]
    if len(found) == 1 and with_pictures and all(map(_looks_like_class, found.values())):
        return {}, []
    return {split: found[split] for split in dict.fromkeys(SPLIT_NAMES.values()) if split in found}, with_pictures


def _looks_like_class(folder: Path) -> bool:
    """Return whether a folder has pictures, and no file that could contain captions."""
    names = [each.name for each in folder.iterdir() if each.is_file()]
    return any(map(is_picture, names)) and not any(name.endswith((".txt", ".jsonl", ".csv")) for name in names)


def _must_be_divided(folders: dict[str, Path]) -> bool:
    """Return whether there is no split besides `train`."""
    return not folders.keys() - {"train"}


def _divide(found: Found, split: str, folder: Path) -> list[str]:
    """Return the files of `train` or `test`. Only file names decide, so the division is the same every time.

    The test part has pictures of each class, but takes no class's only picture.
    """
    files = found.files
    if len(files) < 2:
        raise UsageError(f"{folder} has a single picture: too few to learn from and to measure on")
    ranked = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
    if found.labels:
        rows = hold_out_tenth(np.array([found.labels[file] for file in ranked]))
        tested = {ranked[row] for row in rows}
    else:
        tested = set(ranked[: max(1, round(len(files) * _TEST_FRACTION))])
    return [file for file in files if (file in tested) == (split == "test")]
