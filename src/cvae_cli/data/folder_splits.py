"""Find out which split each picture of a folder belongs to, by the names of folders or of the pictures.

The names are those of the imagefolder builder of Hugging Face's `datasets`: a word of `SPLIT_NAMES`, alone or separated
from other words and numbers by one of `-._ `, as in `train`, `test_images` and `val2017`.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from cvae_cli.data.metadata import is_metadata
from cvae_cli.data.source import SPLIT_NAMES
from cvae_cli.pictures.kinds import is_picture

_SEPARATORS = re.compile(r"[-._ 0-9]+")
_RESEMBLING = re.compile(r"(train|trn|tr$|learn)|(val|dev)|(test|tst|te$|ts$|eval|hold|unseen)")
_CAPTION_ENDINGS = (".txt", ".caption", ".jsonl", ".csv", ".parquet")


@dataclass(frozen=True, kw_only=True)
class Division:
    """How the pictures of a folder are divided into splits.

    Attributes:
        wrapper: the folders around all others, such as `("images",)` for `images/train/cat/1.jpg`.
        folders: the split of each folder in the wrapper whose name says it.
        anywhere: each picture lies in some folder whose name says its split, as in `cat/train/1.jpg`.
        by_file: the name of each picture says its split, as in `train_1.jpg`.
        notes: sentences for the user.
    """

    wrapper: tuple[str, ...] = ()
    folders: dict[str, str] = field(default_factory=dict)
    anywhere: bool = False
    by_file: bool = False
    notes: tuple[str, ...] = ()

    @property
    def has_splits(self) -> bool:
        """Whether any name says a split."""
        return bool(self.folders) or self.anywhere or self.by_file

    def locate(self, file: str) -> tuple[str | None, str]:
        """Return the split of a file, or None, and its path without the wrapper and without the folder of the split."""
        *folders, name = file.split("/")
        if self.by_file:
            return split_of(name), file
        n = len(self.wrapper)
        if tuple(folders[:n]) != self.wrapper:
            return None, file
        folders = folders[n:]
        if self.anywhere:
            at = next((i for i, folder in enumerate(folders) if split_of(folder)), None)
        else:
            at = 0 if folders and folders[0] in self.folders else None
        if at is None:
            return None, "/".join([*folders, name])
        return split_of(folders[at]), "/".join([*folders[:at], *folders[at + 1 :], name])


@lru_cache(4096)
def split_of(name: str) -> str | None:
    """Return the split that a name means: `test` for `Testing_images`. None if it means none, or several."""
    meant = {SPLIT_NAMES[word] for word in _SEPARATORS.split(name.casefold()) if word in SPLIT_NAMES}
    return meant.pop() if len(meant) == 1 else None


def find_division(files: Sequence[str]) -> Division:
    """Return how pictures are divided.

    Args:
        files: all files of the folder, relative to it.
    """
    folders = [tuple(file.split("/")[:-1]) for file in files if is_picture(file)]
    wrapper = find_wrapper(folders)
    n = len(wrapper)
    inner = [each[n:] for each in folders if len(each) > n]
    names = list(dict.fromkeys(each[0] for each in inner))
    named = {name: split for name in names if (split := split_of(name))}
    if named:
        if _are_classes(named, names, inner, files, wrapper):
            return Division(notes=(_note_doubt(list(named)),))
        return Division(wrapper=wrapper, folders=named, notes=_note_merged(named))
    if inner and all(any(map(split_of, each)) for each in inner):
        return Division(wrapper=wrapper, anywhere=True)
    if _is_in_names(file.rpartition("/")[2] for file in files if is_picture(file)):
        return Division(by_file=True)
    return Division(notes=_notes_on_similar_names(names, inner))


def _is_in_names(names: Iterable[str]) -> bool:
    """Return whether each of the names says a split, and they say `train` and another one."""
    splits = set()
    for name in names:
        split = split_of(name)
        if split is None:
            return False
        splits.add(split)
    return "train" in splits and len(splits) > 1


def find_wrapper(folders: Iterable[tuple[str, ...]]) -> tuple[str, ...]:
    """Return the folders, from the outermost, that contain all others, but no picture and not the name of a split.

    Args:
        folders: the path of the folder of each picture.
    """
    paths = {each for each in folders if each}
    wrapper: tuple[str, ...] = ()
    while True:
        n = len(wrapper)
        names = {each[n] for each in paths if len(each) > n}
        if len(names) != 1:
            return wrapper
        deeper = (*wrapper, *names)
        if deeper in paths or split_of(deeper[-1]):
            return wrapper
        wrapper = deeper


def _are_classes(
    named: dict[str, str],
    names: list[str],
    inner: list[tuple[str, ...]],
    files: Sequence[str],
    wrapper: tuple[str, ...],
) -> bool:
    """Return whether folders with names of splits are classes all the same: a train is also a vehicle.

    They can be only if each has pictures and there are no captions. Then they are if they lie beside other folders,
    unless these are those of several splits, or if all of them would be the same split.
    """
    prefix = "".join(f"{folder}/" for folder in wrapper)
    captions = [file for file in files if file.lower().endswith(_CAPTION_ENDINGS)]
    if any(file.startswith(f"{prefix}{name}/") for file in captions for name in named):
        return False
    if any(is_metadata(file) and prefix.startswith(file.rpartition("/")[0]) for file in captions):
        return False
    with_pictures = {each[0] for each in inner if len(each) == 1}
    if not with_pictures.issuperset(named):
        return False
    if len(named) < len(names):
        return len({named[name] for name in named if name.casefold() in SPLIT_NAMES}) < 2
    return len(named) > 1 and len(set(named.values())) == 1


def _note_merged(named: dict[str, str]) -> tuple[str, ...]:
    """Return a note for each split that several folders belong to."""
    parts = {split: [name for name in named if named[name] == split] for split in dict.fromkeys(named.values())}
    return tuple(f"the split {split} is made of {', '.join(of)}" for split, of in parts.items() if len(of) > 1)


def _notes_on_similar_names(names: list[str], inner: list[tuple[str, ...]]) -> tuple[str, ...]:
    """Return a note if the names of classes, or of folders in them, look like names of splits."""
    kinds = {_RESEMBLING.match(name.casefold()) for name in names}
    if None not in kinds and len({match.lastindex for match in kinds if match}) > 1:
        return (_note_doubt(names),)
    deeper = sorted({folder for each in inner for folder in each[1:] if split_of(folder)})
    is_doubtful = len(set(map(split_of, deeper))) > 1 or any(folder.casefold() in SPLIT_NAMES for folder in deeper)
    return (_note_doubt(deeper),) if is_doubtful else ()


def _note_doubt(names: list[str]) -> str:
    advice = (
        "only folders named train, val and test, around those of classes, keep pictures for learning and for "
        "measuring apart"
    )
    if len(names) == 1:
        return f"the folder {names[0]} looks like a split, but is taken for a class or a part of one: {advice}"
    shown = ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    return f"the folders {shown} look like splits, but are taken for classes or parts of them: {advice}"
