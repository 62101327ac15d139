"""Find out what the pictures of a folder show: from metadata, from text files beside them, or from folders of classes.

File names are relative to the root of the data set, with `/` between the parts.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cvae_cli.config.condition import LabelClass
from cvae_cli.data.conditions import Captions, Labels, make_captions, name_classes
from cvae_cli.data.folder_captions import (
    TEXT_ENDINGS,
    CaptionsFound,
    clean,
    from_metadata,
    from_texts,
    note_stray_texts,
    texts_beside,
)
from cvae_cli.data.folder_splits import Division, find_wrapper
from cvae_cli.data.folder_tree import describe_unread
from cvae_cli.data.listing import note_left_out
from cvae_cli.data.metadata import is_metadata
from cvae_cli.errors import UsageError
from cvae_cli.pictures.kinds import COMMON, is_picture

_MAX_SHOWN = 10  # classes that the summary names
_LAYOUTS = """\
one of these says what each picture shows:
  metadata.jsonl or metadata.csv with file_name and text
  a text file beside each picture, image.txt for image.jpg, one caption a line
  a folder of pictures for each class"""


@dataclass(frozen=True, kw_only=True)
class Found:
    """The pictures of a split, each with its captions or its class.

    Attributes:
        captions: of each picture; empty when the pictures have classes.
        labels: index in `classes` of each picture; empty when the pictures have captions.
        source: where captions come from, in a few words.
        unread: how many files of which kinds are not read, in a few words.
        notes: sentences for the user.
    """

    captions: dict[str, list[str]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    classes: tuple[LabelClass, ...] = ()
    source: str = ""
    unread: str = ""
    notes: tuple[str, ...] = ()

    @property
    def files(self) -> list[str]:
        """The names of the pictures, sorted."""
        return sorted(self.labels or self.captions)

    def conditions(self, files: Sequence[str]) -> Labels | Captions:
        """Return the classes or the captions of the given pictures."""
        if self.labels:
            return Labels(np.array([self.labels[file] for file in files], np.int64), self.classes)
        return make_captions([self.captions[file] for file in files])

    def describe(self) -> str:
        """Return how many pictures of what there are, in a few words."""
        pictures = f"{len(self.files):,} pictures" if len(self.files) != 1 else "1 picture"
        if not self.labels:
            return f"{pictures} with captions from {self.source}"
        counts = Counter(self.labels.values())
        shown = ", ".join(f"{each.name}: {counts[i]:,}" for i, each in enumerate(self.classes[:_MAX_SHOWN]))
        if len(self.classes) > _MAX_SHOWN:
            fewest, most = min(counts.values()), max(counts.values())
            shown += f", ...; {fewest:,} to {most:,} pictures in each"
        return f"{pictures} in {len(self.classes):,} class{'es' if len(self.classes) > 1 else ''} ({shown})"


def read_layout(root: Path, files: Sequence[str], division: Division, split: str | None) -> Found:
    """Return the pictures of one split.

    Args:
        root: of the data set.
        files: all its files.
        split: one that `division` says; None for all pictures, where it says none.

    Raises:
        UsageError: there are no pictures, or nothing says what they show.
        MissingError: more than 1% of the pictures that the metadata names do not exist.
        CorruptError: captions cannot be read.
    """

    def belongs(file: str) -> bool:
        return split is None or division.locate(file)[0] == split

    own = [file for file in files if belongs(file)]
    pictures = [file for file in own if is_picture(file)]
    where = f"{root}" if split is None else f"the split {split} of {root}"
    if not pictures:
        unread = describe_unread(own)
        raise UsageError(
            f"{where} has no pictures",
            hint=f"pictures end in {', '.join(COMMON)} and others" + (f"; there are {unread}" if unread else ""),
        )
    outside = [file for file in files if split and division.locate(file)[0] is None and not is_picture(file)]
    metadata = [file for file in own if is_metadata(file)] or [file for file in outside if is_metadata(file)]
    if metadata:
        found = from_metadata(root, files, metadata, belongs)
        return _with_captions(where, found, pictures, own, outside)
    texts = texts_beside(pictures, own)
    inner = {file: division.locate(file)[1] for file in pictures}
    # a few stray text files in folders of classes are not captions
    if len(texts) * 2 > len(pictures) or any("/" not in inner[file] for file in texts):
        found = from_texts(root, pictures, texts)
        return _with_captions(where, found, pictures, own, outside)
    if not any("/" in name for name in inner.values()):
        raise UsageError(f"{where} has pictures, but neither captions nor classes", hint=_LAYOUTS)
    everywhere = [division.locate(file) for file in files if is_picture(file)]
    names = [name for its_split, name in everywhere if split is None or its_split is not None]
    return _with_classes(where, inner, names, [file for file in own + outside if file not in inner])


def _with_captions(where: str, found: CaptionsFound, pictures: list[str], own: list[str], outside: list[str]) -> Found:
    """Leave out pictures that have no captions, and say which files are not read.

    Args:
        own: all files of the split.
        outside: the files of no split.
    """
    captions = clean(found.captions)
    uncaptioned = sorted({*found.captions, *pictures} - captions.keys())
    if not captions:
        raise UsageError(f"{where}: not one of {len(uncaptioned):,} pictures has a caption", hint=_LAYOUTS)
    notes = found.notes + note_left_out(uncaptioned, "picture without a caption", "pictures without a caption")
    known = {*pictures, *found.captions, *found.read}
    strays: tuple[str, ...] = ()
    if not any(map(is_metadata, found.read)):
        strays = note_stray_texts(own, found.read)
        known |= {file for file in own if file.lower().endswith(TEXT_ENDINGS)}
    unread = [file for file in own + outside if file not in known]
    return Found(captions=captions, source=found.source, unread=describe_unread(unread), notes=strays + notes)


def _with_classes(where: str, inner: dict[str, str], all_names: list[str], others: list[str]) -> Found:
    """Take classes from the names of folders. Those of all splits count, so that indices agree between splits.

    Args:
        inner: the name of each picture in its split.
        all_names: the same for the pictures of all splits.
        others: the other files of the split, and those of no split.
    """
    n = len(find_wrapper(tuple(name.split("/")[:-1]) for name in all_names))
    class_of = {file: parts[n] for file, name in inner.items() if len(parts := name.split("/")) > n + 1}
    loose = sorted(inner.keys() - class_of.keys())
    notes = note_left_out(loose, "picture beside the folders of classes", "pictures beside the folders of classes")
    names = sorted({parts[n] for name in all_names if len(parts := name.split("/")) > n + 1})
    classes = name_classes(names, where)
    if len(classes) == 1:
        notes += (
            f"{names[0]} is the only class, so a prompt decides nothing: give captions, "
            "or train with --set architecture.conditioning=none",
        )
    index = {name: number for number, name in enumerate(names)}
    labels = {file: index[name] for file, name in class_of.items()}
    return Found(labels=labels, classes=classes, unread=describe_unread(others), notes=notes)
