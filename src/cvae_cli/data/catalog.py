"""The data sets that can be asked for by name."""

import os
from pathlib import Path
from types import ModuleType

from cvae_cli.config.model import ImageShape
from cvae_cli.data import cache, cifar, coco, folder, mnist
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.events import Callback, Notice, ignore

DEFAULT_SIZE = 64
"""Pixels a side of pictures that come in any size."""
_SIZES = range(8, 1025)


def names() -> list[str]:
    """The data sets that can be asked for, as messages have them."""
    return [*_fixed(), "coco", "folder:PATH"]


def full_name(name: str) -> str:
    """A data set's name as it is recorded, which means the same from any folder."""
    return folder.full_name(name) if name.startswith(folder.PREFIX) else name


def short_name(name: str) -> str:
    """A data set's name for a line of text: of a folder only the last part of its path."""
    return Path(name.removeprefix(folder.PREFIX)).resolve().name if name.startswith(folder.PREFIX) else name


def load_dataset(
    name: str,
    split: str,
    *,
    size: int | None = None,
    limit: int | None = None,
    data_dir: Path | None = None,
    callback: Callback = ignore,
) -> Dataset:
    """A split of the data set `name`, fetched into the cache when it is not there.

    Args:
        name: one of `names()`.
        split: `train`, or `val` (`validation` means the same) or `test` where there is one.
        size: pixels a side. Pictures of any size are brought to 64 unless told otherwise, and kept so in the cache;
            data sets of one size have that only.
        limit: only the first so many pictures; no others are prepared.
        data_dir: a folder with the data set's published files, instead of the cache; nothing is fetched into it.
        report: told of the bytes as they arrive.
        steps: told how far the pictures are prepared.
        notice: told what is good to know, such as pictures that are left out.

    Raises:
        UsageError: no such data set, split or size.
        MissingError: a file is absent and cannot be fetched.
        CorruptError: a file is damaged.
    """
    check_name(name, split)
    shape = shape_of(name, size)
    split = folder.canonical_split(split)
    if name in _fixed():
        dataset: Dataset = _fixed()[name][0].load(name, split, data_dir=data_dir, callback=callback)
        return dataset.limit(limit)
    if name == "coco":
        listing = coco.listing(split, data_dir=data_dir, callback=callback)
    elif data_dir is not None:
        raise UsageError("a folder's path is in its name", hint=f"without --data-dir: {full_name(name)}")
    else:
        listing = folder.listing(name, split)
    for note in listing.notes:
        callback(Notice(f"{name}: {note}"))
    return cache.prepare(listing.limit(limit), shape.size, callback=callback)


def shape_of(name: str, size: int | None = None) -> ImageShape:
    """What the pictures of a data set will be like, before any is opened.

    Raises:
        CvaeError: there is no such data set, or it cannot be had in that size.
    """
    _splits(name)
    if name in _fixed():
        _, shape = _fixed()[name]
        if size not in {None, shape.size}:
            raise UsageError(f"{name} has pictures of {shape.size}x{shape.size}", hint="leave the size out")
        return shape
    size = size or DEFAULT_SIZE
    if size not in _SIZES:
        raise UsageError(f"pictures of {size}x{size} pixels: from {_SIZES[0]} to {_SIZES[-1]} a side can be had")
    return ImageShape(size=size, channels=3)


def has_sizes(name: str) -> bool:
    """Whether pictures of a data set can be had in several sizes."""
    return name not in _fixed()


def has_classes(name: str) -> bool:
    """Whether the pictures of a data set come in classes, and not with captions.

    Raises:
        CvaeError: there is no such data set, or a folder is not as one must be.
    """
    check_name(name, "train")
    if name.startswith(folder.PREFIX):
        return isinstance(folder.listing(name, "train").conditions, Labels)
    return name in _fixed()


def check_name(name: str, split: str) -> None:
    """Raise a CvaeError where there is no such data set or split."""
    known = _splits(name)
    if folder.canonical_split(split) not in known:
        raise UsageError(
            f'{name} has no split "{split}".{did_you_mean(split, known)}', hint=f"splits: {', '.join(known)}"
        )


def evaluation_split(name: str) -> str:
    """The split that a model is measured on unless told otherwise: `test`, or `val` where there is no `test`."""
    return next((split for split in ("test", "val") if split in _splits(name)), "test")


def _splits(name: str) -> tuple[str, ...]:
    if name in _fixed():
        module, _ = _fixed()[name]
        return tuple(module.SPLITS)
    if name == "coco":
        return coco.SPLITS
    if name.startswith(folder.PREFIX):
        return folder.splits(name)
    suggestion = did_you_mean(name, names())
    if name and os.path.isdir(name):
        suggestion = f' Did you mean "{folder.PREFIX}{name}"?'
    raise UsageError(f'no data set "{name}".{suggestion}', hint=f"data sets: {', '.join(names())}")


def _fixed() -> dict[str, tuple[ModuleType, ImageShape]]:
    """Which module reads which data set of one shape, and that shape: each has `SPLITS` and `load`."""
    grey, coloured = ImageShape(size=28, channels=1), ImageShape(size=32, channels=3)
    return {**dict.fromkeys(mnist.FAMILY, (mnist, grey)), "cifar-10": (cifar, coloured)}
