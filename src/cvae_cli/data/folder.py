"""Any folder of pictures, as the data set `folder:PATH`.

In it, or in each of its folders train, val and test:

    metadata.jsonl or .csv      file_name and text of each picture (Hugging Face's imagefolder)
    image.jpg, image.txt        a text beside each picture, one caption a line
    class/.../image.jpg         a folder for each class (torchvision's ImageFolder)
"""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np

from cvae_cli.config.model import LabelClass
from cvae_cli.data.conditions import Captions, Labels, make_captions
from cvae_cli.data.listing import Listing, absent, left_out, one_line
from cvae_cli.data.metadata import find_metadata, read_metadata, read_text
from cvae_cli.errors import MissingError, UsageError, quoted

PREFIX = "folder:"
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")

_SPLITS = {
    "train": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "dev": "val",
    "test": "test",
}
_HELD_BACK = 0.1  # of a folder that is not divided into splits, the part that is its test split
_SPACES = str.maketrans("_-", "  ")
_LAYOUTS = """\
what is in each picture is told by one of
  metadata.jsonl or metadata.csv with file_name and text
  a text beside each picture, image.txt for image.jpg, one caption a line
  a folder of pictures for each class"""

Found = tuple[dict[str, list[str]] | dict[str, int], tuple[LabelClass, ...], tuple[str, ...]]
"""Captions or a class for each picture (relative to the root), the classes, and notes."""


def canonical_split(split: str) -> str:
    """A split by the name it has here: `val` for validation, valid and dev."""
    return _SPLITS.get(split.casefold(), split)


def full_name(name: str) -> str:
    """`folder:PATH` with the path made absolute, so that it means the same from anywhere.

    Raises:
        UsageError: the path is not text, which no recipe can record.
    """
    path = name.removeprefix(PREFIX)
    full = PREFIX + os.path.abspath(os.path.expanduser(path)) if path else name
    try:
        full.encode()
    except UnicodeEncodeError as error:
        raise UsageError(f"the path of {quoted(name)} is not valid text", hint="rename the folder") from error
    return full


def splits(name: str) -> tuple[str, ...]:
    """The splits that a folder has; without any of its own, or with `train` alone, it is divided in train and test.

    Raises:
        UsageError: the folder cannot be used.
        MissingError: it does not exist.
    """
    folders, _ = _split_folders(_root(name))
    return ("train", "test") if _is_divided(folders) else tuple(folders)


def listing(name: str, split: str) -> Listing:
    """The pictures of one split, sorted by name.

    Raises:
        UsageError: nothing tells what is in the pictures, or there are none.
        MissingError: the folder or many of the named pictures do not exist.
        CorruptError: captions that cannot be read.
    """
    root = _root(name)
    folders, strangers = _split_folders(root)
    divided = _is_divided(folders)
    folder = folders.get("train", root) if divided else folders[split]
    values, classes, notes = _found(root, folder, [other for other in folders.values() if other != folder])
    files = _part(sorted(values), split, folder) if divided else sorted(values)
    conditions: Labels | Captions
    if classes:
        conditions = Labels(np.array([values[file] for file in files], np.int64), classes)
    else:
        conditions = make_captions([values[file] for file in files])  # type: ignore[misc]
    return Listing(
        name=full_name(name),
        split=split,
        root=root,
        files=tuple(files),
        conditions=conditions,
        licence="not stated",
        notes=left_out(strangers, "folder of pictures that is no split", "folders of pictures that are no split")
        + notes,
    )


def _root(name: str) -> Path:
    if not name.removeprefix(PREFIX):
        raise UsageError(f'"{name}" names no folder', hint="as in folder:path/to/pictures")
    root = Path(full_name(name).removeprefix(PREFIX))
    if os.path.isdir(root):
        return root
    if os.path.exists(root):
        raise UsageError(f"{root} is not a folder")
    raise MissingError(f"no folder {root}")


def _split_folders(root: Path) -> tuple[dict[str, Path], list[str]]:
    """The folders that are splits, by the split's name, and the names of others with pictures.

    A single one that looks like the others is a class: a train is a vehicle, too.
    """
    found: dict[str, Path] = {}
    others = []
    for folder in _folders(root):
        split = _SPLITS.get(folder.name.casefold())
        if split is None:
            others.append(folder)
        elif split in found:
            raise UsageError(f"{root} has both {found[split].name} and {folder.name}", hint="they mean the same split")
        else:
            found[split] = folder
    strangers = [folder.name for folder in others if found and _has_picture(folder)]
    if len(found) == 1 and strangers and all(map(_looks_like_a_class, found.values())):
        return {}, []
    return {split: found[split] for split in dict.fromkeys(_SPLITS.values()) if split in found}, strangers


def _looks_like_a_class(folder: Path) -> bool:
    """Whether a folder has pictures, and nothing that tells what is in each."""
    names = [each.name for each in folder.iterdir() if each.is_file()]
    return any(map(_is_picture, names)) and not any(name.endswith((".txt", ".jsonl", ".csv")) for name in names)


def _is_divided(folders: dict[str, Path]) -> bool:
    return not folders.keys() - {"train"}


def _part(files: list[str], split: str, folder: Path) -> list[str]:
    """The files of `train` or `test`. Only their names decide, so nothing need be kept to divide them again."""
    if len(files) < 2:
        raise UsageError(f"{folder} has a single picture: too few to learn from and to measure on")
    ranked = sorted(files, key=lambda file: hashlib.sha256(os.fsencode(file)).digest())
    n = max(1, round(len(files) * _HELD_BACK))
    return sorted(ranked[:n] if split == "test" else ranked[n:])


def _found(root: Path, folder: Path, siblings: list[Path]) -> Found:
    prefix = "" if folder == root else f"{folder.name}/"
    files = list(_files(folder, prefix))
    pictures = [file for file in files if _is_picture(file)]
    if not pictures:
        raise UsageError(f"{folder} has no pictures", hint=f"they end in {', '.join(SUFFIXES)}")
    metadata = find_metadata(folder) or find_metadata(root)
    if metadata is not None:
        return _by_metadata(metadata, root, folder, pictures)
    texts = {file for file in files if file.endswith(".txt")}
    captioned = [file for file in pictures if _text_of(file) in texts]
    nested = [file for file in pictures if "/" in file.removeprefix(prefix)]
    # a text that strayed into a folder of classes does not make captions of them
    if len(captioned) * 2 > len(pictures) or set(captioned) - set(nested):
        return _by_texts(root, folder, pictures, texts)
    if not nested:
        raise UsageError(f"{folder} has pictures, but neither captions nor classes", hint=_LAYOUTS)
    notes = left_out(
        [file for file in pictures if "/" not in file.removeprefix(prefix)],
        "picture beside the folders of classes",
        "pictures beside the folders of classes",
    )
    return _by_classes(prefix, folder, nested, siblings, notes)


def _by_metadata(metadata: Path, root: Path, folder: Path, pictures: list[str]) -> Found:
    """Captions from a file in the split's folder, or in the root for all splits."""
    prefix = "" if metadata.parent == root else f"{folder.name}/"
    named = {prefix + file: captions for file, captions in read_metadata(metadata).items()}
    if folder != root:
        named = {file: captions for file, captions in named.items() if file.startswith(f"{folder.name}/")}
    seen = set(pictures)
    gone = {file for file in named if file not in seen and not os.path.isfile(root / file)}
    notes = absent(sorted(gone), len(named), metadata)
    there = {file: captions for file, captions in named.items() if file not in gone}
    return _captioned(folder, {file: [] for file in pictures} | there, notes)


def _by_texts(root: Path, folder: Path, pictures: list[str], texts: set[str]) -> Found:
    """Captions from a text beside each picture."""
    needed = {_text_of(file) for file in pictures}
    notes = left_out(sorted(texts - needed), "text without a picture", "texts without a picture")
    lines = {text: read_text(root / text).splitlines() for text in texts & needed}
    return _captioned(folder, {file: lines.get(_text_of(file), []) for file in pictures}, notes)


def _captioned(folder: Path, captions: dict[str, list[str]], notes: tuple[str, ...]) -> Found:
    """The pictures that have a caption with something in it."""
    cleaned = {file: [each for each in map(one_line, texts) if each] for file, texts in captions.items()}
    silent = sorted(file for file, texts in cleaned.items() if not texts)
    if len(silent) == len(cleaned):
        raise UsageError(f"{folder}: not one of {len(cleaned):,} pictures has a caption", hint=_LAYOUTS)
    notes += left_out(silent, "picture without a caption", "pictures without a caption")
    return {file: texts for file, texts in cleaned.items() if texts}, (), notes


def _by_classes(prefix: str, folder: Path, pictures: list[str], siblings: list[Path], notes: tuple[str, ...]) -> Found:
    """Classes from the folders; those of other splits count, so that an index means the same in each."""
    class_of = {file: file.removeprefix(prefix).split("/", 1)[0] for file in pictures}
    others = [each.name for sibling in siblings for each in _folders(sibling) if _has_picture(each)]
    names = sorted({*class_of.values(), *others})
    try:
        "".join(names).encode()  # names of files need not be text
        classes = tuple(LabelClass(name=name, words=(name.translate(_SPACES).strip(),)) for name in names)
    except ValueError as error:
        raise UsageError(
            f"{folder}: a folder's name has no word that a prompt could have", hint=f"folders: {', '.join(names[:20])}"
        ) from error
    if len(classes) == 1:
        notes += (
            f"{names[0]} is the only class, so a prompt decides nothing: give captions, "
            "or train with --set architecture.conditioning=none",
        )
    index = {name: number for number, name in enumerate(names)}
    return {file: index[name] for file, name in class_of.items()}, classes, notes


def _files(folder: Path, prefix: str, above: frozenset[str] = frozenset()) -> Iterator[str]:
    """Every file in a folder and the folders in it, hidden ones aside. Links are followed, but not in circles."""
    real = os.path.realpath(folder)
    if real in above:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _files(Path(entry.path), f"{prefix}{entry.name}/", above | {real})
            else:
                yield prefix + entry.name


def _folders(folder: Path) -> list[Path]:
    return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.is_dir())


def _has_picture(folder: Path) -> bool:
    return any(map(_is_picture, _files(folder, "")))


def _is_picture(file: str) -> bool:
    return file.lower().endswith(SUFFIXES)


def _text_of(file: str) -> str:
    return PurePosixPath(file).with_suffix(".txt").as_posix()
