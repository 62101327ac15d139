"""Find out what the pictures of a folder show: from metadata, from text files beside them, or from folders of classes.

File names are relative to the root of the data set, with `/` between the parts.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

import numpy as np

from cvae_cli.config.model import LabelClass
from cvae_cli.data.conditions import Captions, Labels, make_captions, name_classes
from cvae_cli.data.listing import clean_caption, note_left_out, note_missing
from cvae_cli.data.metadata import find_metadata, read_metadata, read_text
from cvae_cli.errors import UsageError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff")
_LAYOUTS = """\
one of these says what each picture shows:
  metadata.jsonl or metadata.csv with file_name and text
  a text file beside each picture, image.txt for image.jpg, one caption a line
  a folder of pictures for each class"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The pictures of a folder, each with its captions or its class.

    Attributes:
        captions: of each picture; empty when the pictures have classes.
        labels: index in `classes` of each picture; empty when the pictures have captions.
        notes: sentences for the user.
    """

    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """The names of the pictures, sorted."""
        return sorted(self.labels or self.captions)

    def conditions(self, files: list[str]) -> Labels | Captions:
        """Return the classes or the captions of the given pictures."""
        if self.labels:
            return Labels(np.array([self.labels[file] for file in files], np.int64), self.classes)
        return make_captions([self.captions[file] for file in files])


def read_layout(root: Path, folder: Path, siblings: list[Path]) -> Found:
    """Return the pictures of one split.

    Args:
        root: of the data set.
        folder: of the split; the root itself when the data set has no folders for splits.
        siblings: the folders of the other splits.

    Raises:
        UsageError: there are no pictures, or nothing says what they show.
        MissingError: more than 1% of the pictures that the metadata names do not exist.
        CorruptError: captions cannot be read.
    """
    prefix = "" if folder == root else f"{folder.name}/"
    files = list(_walk(folder, prefix))
    pictures = [file for file in files if is_picture(file)]
    if not pictures:
        raise UsageError(f"{folder} has no pictures", hint=f"they end in {', '.join(_SUFFIXES)}")
    metadata = find_metadata(folder) or find_metadata(root)
    if metadata is not None:
        return _with_metadata(metadata, root, folder, pictures)
    texts = {file for file in files if file.endswith(".txt")}
    captioned = [file for file in pictures if _text_file(file) in texts]
    nested = [file for file in pictures if "/" in file.removeprefix(prefix)]
    # a few stray text files in folders of classes are not captions
    if len(captioned) * 2 > len(pictures) or set(captioned) - set(nested):
        return _with_texts(root, folder, pictures, texts)
    if not nested:
        raise UsageError(f"{folder} has pictures, but neither captions nor classes", hint=_LAYOUTS)
    notes = note_left_out(
        [file for file in pictures if "/" not in file.removeprefix(prefix)],
        "picture beside the folders of classes",
        "pictures beside the folders of classes",
    )
    return _with_classes(prefix, folder, nested, siblings, notes)


def _with_metadata(metadata: Path, root: Path, folder: Path, pictures: list[str]) -> Found:
    """Take captions from a metadata file, in the folder of the split or in the root for all splits."""
    prefix = "" if metadata.parent == root else f"{folder.name}/"
    named = {prefix + file: captions for file, captions in read_metadata(metadata).items()}
    if folder != root:
        named = {file: captions for file, captions in named.items() if file.startswith(f"{folder.name}/")}
    known = set(pictures)
    missing = {file for file in named if file not in known and not os.path.isfile(root / file)}
    notes = note_missing(sorted(missing), len(named), metadata)
    existing = {file: captions for file, captions in named.items() if file not in missing}
    return _with_captions(folder, {file: [] for file in pictures} | existing, notes)


def _with_texts(root: Path, folder: Path, pictures: list[str], texts: set[str]) -> Found:
    """Take captions from the text file beside each picture."""
    needed = {_text_file(file) for file in pictures}
    notes = note_left_out(sorted(texts - needed), "text without a picture", "texts without a picture")
    lines = {text: read_text(root / text).splitlines() for text in texts & needed}
    return _with_captions(folder, {file: lines.get(_text_file(file), []) for file in pictures}, notes)


def _with_captions(folder: Path, captions: dict[str, list[str]], notes: tuple[str, ...]) -> Found:
    """Clean the captions, and leave out pictures that have none."""
    cleaned = {file: [each for each in map(clean_caption, texts) if each] for file, texts in captions.items()}
    uncaptioned = sorted(file for file, texts in cleaned.items() if not texts)
    if len(uncaptioned) == len(cleaned):
        raise UsageError(f"{folder}: not one of {len(cleaned):,} pictures has a caption", hint=_LAYOUTS)
    notes += note_left_out(uncaptioned, "picture without a caption", "pictures without a caption")
    return Found(captions={file: texts for file, texts in cleaned.items() if texts}, notes=notes)


def _with_classes(
    prefix: str, folder: Path, pictures: list[str], siblings: list[Path], notes: tuple[str, ...]
) -> Found:
    """Take classes from the names of folders. Those of all splits count, so that indices agree between splits."""
    class_of = {file: file.removeprefix(prefix).split("/", 1)[0] for file in pictures}
    elsewhere = [each.name for sibling in siblings for each in subfolders(sibling) if has_picture(each)]
    names = sorted({*class_of.values(), *elsewhere})
    classes = name_classes(names, str(folder))
    if len(classes) == 1:
        notes += (
            f"{names[0]} is the only class, so a prompt decides nothing: give captions, "
            "or train with --set architecture.conditioning=none",
        )
    index = {name: number for number, name in enumerate(names)}
    return Found(labels={file: index[name] for file, name in class_of.items()}, classes=classes, notes=notes)


def _walk(folder: Path, prefix: str, parents: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every file in a folder and its subfolders, sorted, except hidden ones.

    Links are followed, except to a parent folder, which would never end.
    """
    real = os.path.realpath(folder)
    if real in parents:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                yield from _walk(Path(entry.path), f"{prefix}{entry.name}/", parents | {real})
            else:
                yield prefix + entry.name


def subfolders(folder: Path) -> list[Path]:
    """Return the folders in a folder, sorted, except hidden ones."""
    return sorted(each for each in folder.iterdir() if not each.name.startswith(".") and each.is_dir())


def has_picture(folder: Path) -> bool:
    """Return whether there is a picture in a folder or its subfolders."""
    return any(map(is_picture, _walk(folder, "")))


def is_picture(file: str) -> bool:
    """Return whether a file has the suffix of a picture."""
    return file.lower().endswith(_SUFFIXES)


def _text_file(picture: str) -> str:
    return PurePosixPath(picture).with_suffix(".txt").as_posix()
