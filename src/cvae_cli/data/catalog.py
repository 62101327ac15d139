"""The data sets that can be loaded by name.

Importing this module is cheap: the module of a source is imported when the source is looked up.
"""

import os
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING

from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.events import Callback, ignore

if TYPE_CHECKING:
    from cvae_cli.config.model import ImageShape
    from cvae_cli.data.dataset import Dataset
    from cvae_cli.data.source import Source

SOURCES = {
    "fashion-mnist": "cvae_cli.data.mnist:Mnist",
    "mnist": "cvae_cli.data.mnist:Mnist",
    "kmnist": "cvae_cli.data.mnist:Mnist",
    "cifar-10": "cvae_cli.data.cifar:Cifar10",
    "coco": "cvae_cli.data.coco:Coco",
    "folder:PATH": "cvae_cli.data.folder:Folder",
    "webdataset:PATTERN": "cvae_cli.data.sharded:Sharded",
}
"""The class of each data set, as `module:class`. PATH and PATTERN stand for what the user names."""


def names() -> list[str]:
    """Return the names of the data sets, as help texts and messages show them."""
    return list(SOURCES)


def all_sources() -> list["Source"]:
    """Return a source for each of `names()`, for tables of their names, descriptions and splits."""
    return [find_source(name) for name in SOURCES]


def find_source(name: str) -> "Source":
    """Return the source of the data set `name`.

    Raises:
        UsageError: there is no such data set.
    """
    check_known(name)
    source = _find(name)
    assert source is not None
    return source


def is_known(name: str) -> bool:
    """Return whether there is a data set `name`."""
    return _target(name) is not None


def is_place(name: str) -> bool:
    """Return whether `name` is a data set of the user's, named by its place: `folder:PATH` or `webdataset:PATTERN`."""
    return ":" in name and is_known(name)


def check_known(name: str) -> None:
    """Raise a UsageError if there is no data set `name`. Nothing is imported or opened for that."""
    if not is_known(name):
        suggestion = did_you_mean(name, names())
        if name and os.path.isdir(name):
            suggestion = f' Did you mean "folder:{name}"?'
        raise UsageError(f'no data set "{name}".{suggestion}', hint=f"data sets: {', '.join(names())}")


def load_dataset(
    name: str,
    split: str,
    *,
    size: int | None = None,
    limit: int | None = None,
    data_dir: str | Path | None = None,
    callback: Callback = ignore,
) -> "Dataset":
    """Load a split of the data set `name`. Missing files are downloaded into the cache.

    Args:
        name: one of `names()`.
        split: `train`, or `val` (also `validation`) or `test` where the data set has one.
        size: pixels a side. Picture files of any size are resized to it (64 when absent) and kept so in the cache;
            data sets of one size accept only that.
        limit: load only so many pictures: the first ones, or the first ones of each class; no others are prepared.
        data_dir: a folder with the published files of the data set, to be used instead of the cache. Nothing is
            downloaded into it.
        callback: receives the progress of downloads and of the preparation, and notices such as pictures left out.

    Raises:
        UsageError: no such data set, split or size.
        MissingError: a file is missing and cannot be downloaded.
        CorruptError: a file is damaged.
    """
    from cvae_cli.data.source import canonical_split

    source = find_source(name)
    source.check_split(split)
    size = source.image_shape(size).size
    folder = None if data_dir is None else Path(data_dir)
    return source.load(canonical_split(split), size=size, limit=limit, data_dir=folder, callback=callback)


def full_name(name: str) -> str:
    """Return the name of a data set as it is recorded: it means the same from any working directory."""
    source = _find(name)
    return source.full_name if source is not None else name


def short_name(name: str) -> str:
    """Return the name of a data set for a line of text: for a folder, the last part of its path."""
    source = _find(name)
    return source.short_name if source is not None else name


def shape_of(name: str, size: int | None = None) -> "ImageShape":
    """Return the shape of a data set's pictures, without opening any.

    Raises:
        CvaeError: there is no such data set, or it is not available in this size.
    """
    source = find_source(name)
    source.find_splits()  # raises when the source cannot be used
    return source.image_shape(size)


def check_image_shape(ours: "ImageShape", name: str, *, called: str, hint: str | None = None) -> None:
    """Raise a UsageError if the pictures of a data set cannot have the size and colours of a model.

    Args:
        ours: the shape of the model's pictures.
        called: the name of the model.
        hint: what to do.
    """
    source = find_source(name)
    theirs = source.image_shape(ours.size if source.has_sizes else None)
    if ours != theirs:
        source.find_splits()  # raises when the source cannot be used, which is said first
    check_shapes(ours, theirs, name, called=called, hint=hint)


def check_shapes(ours: "ImageShape", theirs: "ImageShape", name: str, *, called: str, hint: str | None = None) -> None:
    """Raise a UsageError if a model is not for pictures of the shape that those of a data set have."""
    if ours != theirs:
        raise UsageError(f"{called} draws {ours} pictures; {short_name(name)} has {theirs} ones", hint=hint)


def has_sizes(name: str) -> bool:
    """Return whether the pictures of a data set are available in several sizes."""
    return find_source(name).has_sizes


def has_classes(name: str) -> bool:
    """Return whether the pictures of a data set have classes. If not, they have captions.

    Raises:
        CvaeError: there is no such data set, or its folder cannot be used.
    """
    check_name(name, "train")
    return find_source(name).has_classes()


def check_name(name: str, split: str) -> None:
    """Raise a CvaeError when there is no such data set or split."""
    find_source(name).check_split(split)


def look(name: str, *, data_dir: str | Path | None = None) -> list[str]:
    """Look at the training pictures of a data set, and return lines on what was found.

    Nothing is downloaded, decoded or written: a data set that is not here yet is only said to be so.

    Raises:
        CvaeError: there is no such data set, or it cannot be learned from.
    """
    source = find_source(name)
    source.check_split("train")
    if data_dir is None and not source.is_here():
        return [f"{name} is not on this machine yet: the training downloads it first"]
    return source.look(data_dir=None if data_dir is None else Path(data_dir))


def evaluation_split(name: str) -> str:
    """Return the split that models are evaluated on by default: `test`, or `val` where there is no `test`."""
    splits = find_source(name).find_splits()
    return next((split for split in ("test", "val") if split in splits), "test")


def validation_split(name: str) -> str | None:
    """Return the split to choose epochs by, or None where training pictures are held out for that."""
    return find_source(name).validation_split()


def _find(name: str) -> "Source | None":
    target = _target(name)
    return resolve_name(target)(name) if target is not None else None


def _target(name: str) -> str | None:
    """Return the place of a data set's class, if there is one."""
    prefix, colon, _ = name.partition(":")
    return next((SOURCES[each] for each in SOURCES if colon and each.startswith(f"{prefix}:")), SOURCES.get(name))
