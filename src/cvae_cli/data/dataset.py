"""What a data set is to the rest of the program, and the data sets that can be asked for by name."""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cvae_cli.config import ImageShape
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.download import Report
from cvae_cli.errors import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One split of a data set: pictures, and a class or captions for each.

    Attributes:
        pixels: uint8 `(m, h, w, c)`, in memory or mapped from a file, which may have more pictures than the data set.
        rows: which of them are the data set's, int64 `(n,)`.
        conditions: what is known of each picture, `n` of them.
        licence: under which the pictures come.
        cache: the folder of the prepared pictures, where what is computed of them may be kept, too.
    """

    name: str
    split: str
    pixels: NDArray[np.uint8]
    rows: NDArray[np.int64]
    conditions: Labels | Captions
    licence: str
    cache: Path | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def images(self) -> NDArray[np.uint8]:
        """All pictures in memory, uint8 `(n, h, w, c)`."""
        return self.pixels[self.rows]

    @property
    def image_shape(self) -> ImageShape:
        _, size, _, channels = self.pixels.shape
        return ImageShape(size=size, channels=channels)

    def take(self, indices: NDArray[np.int64]) -> "Dataset":
        """The pictures at `indices`, in that order; nothing is copied."""
        return replace(self, rows=self.rows[indices], conditions=self.conditions.take(indices))

    def limit(self, n: int | None) -> "Dataset":
        """The first `n` pictures, or all of them."""
        return self if n is None or n >= len(self) else self.take(np.arange(n))

    def sample(self, n: int, seed: int) -> "Dataset":
        """`n` pictures drawn by `seed`, or all of them."""
        return self.take(np.random.default_rng(seed).permutation(len(self))[:n]) if n < len(self) else self

    def divide(self, n: int, seed: int) -> tuple["Dataset", "Dataset"]:
        """Two parts: the data set without `n` pictures drawn by `seed`, and those `n` (at most a tenth of all)."""
        n = min(n, max(1, len(self) // 10))
        if n >= len(self):
            raise UsageError(f"{self.name} has too few pictures to learn from: {len(self)}")
        order = np.random.default_rng(seed).permutation(len(self))
        return self.take(np.sort(order[n:])), self.take(np.sort(order[:n]))


def whole(name: str, split: str, pixels: NDArray[np.uint8], conditions: Labels | Captions, licence: str) -> Dataset:
    """The data set of every picture of `pixels`."""
    return Dataset(
        name=name, split=split, pixels=pixels, rows=np.arange(len(pixels)), conditions=conditions, licence=licence
    )


Steps = Callable[[str, int, int], None]
"""Called with what is being done, how much of it is done, and how much there is."""
Notice = Callable[[str], None]
"""Called with a sentence that a user should know."""

DEFAULT_SIZE = 64
"""Pixels a side of pictures that come in any size."""
_SIZES = range(8, 1025)


def names() -> list[str]:
    """The data sets that can be asked for, as messages have them."""
    return [*_fixed(), "coco", "folder:PATH"]


def full_name(name: str) -> str:
    """A data set's name as it is recorded, which means the same from any folder."""
    from cvae_cli.data import folder

    return folder.full_name(name) if name.startswith(folder.PREFIX) else name


def load_dataset(
    name: str,
    split: str,
    *,
    size: int | None = None,
    limit: int | None = None,
    data_dir: Path | None = None,
    report: Report = lambda here, total: None,
    steps: Steps = lambda what, here, total: None,
    notice: Notice = lambda text: None,
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
    from cvae_cli.data import cache, coco, folder

    check_name(name, split)
    shape = shape_of(name, size)
    split = folder.canonical_split(split)
    if name in _fixed():
        dataset: Dataset = _fixed()[name][0].load(name, split, data_dir=data_dir, report=report)
        return dataset.limit(limit)
    if name == "coco":
        listing = coco.listing(split, data_dir=data_dir, report=report, steps=steps, notice=notice)
    elif data_dir is not None:
        raise UsageError("a folder's path is in its name", hint=f"without --data-dir: {full_name(name)}")
    else:
        listing = folder.listing(name, split)
    for note in listing.notes:
        notice(f"{name}: {note}")
    return cache.prepare(listing.limit(limit), shape.size, steps=steps, notice=notice)


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
    from cvae_cli.data import folder

    check_name(name, "train")
    if name.startswith(folder.PREFIX):
        return isinstance(folder.listing(name, "train").conditions, Labels)
    return name in _fixed()


def check_name(name: str, split: str) -> None:
    """Raise a CvaeError where there is no such data set or split."""
    from cvae_cli.data.folder import canonical_split

    known = _splits(name)
    if canonical_split(split) not in known:
        raise UsageError(
            f'{name} has no split "{split}".{did_you_mean(split, known)}', hint=f"splits: {', '.join(known)}"
        )


def evaluation_split(name: str) -> str:
    """The split that a model is measured on unless told otherwise: `test`, or `val` where there is no `test`."""
    return next((split for split in ("test", "val") if split in _splits(name)), "test")


def _splits(name: str) -> tuple[str, ...]:
    from cvae_cli.data import coco, folder

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
    from cvae_cli.data import cifar, mnist

    grey, coloured = ImageShape(size=28, channels=1), ImageShape(size=32, channels=3)
    return {**dict.fromkeys(mnist.FAMILY, (mnist, grey)), "cifar-10": (cifar, coloured)}
