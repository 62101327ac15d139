"""What a data set is to the rest of the program, and the data sets that can be asked for by name."""

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from cvae_cli.config import ImageShape, LabelClass
from cvae_cli.download import Report
from cvae_cli.errors import UsageError, did_you_mean


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One split of a labelled data set, whole in memory.

    Attributes:
        images: uint8 `(n, h, w, c)`.
        labels: class indices, int64 `(n,)`.
        classes: what the indices mean.
        licence: under which the pictures come.
    """

    name: str
    split: str
    images: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[LabelClass, ...]
    licence: str

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> ImageShape:
        _, size, _, channels = self.images.shape
        return ImageShape(size=size, channels=channels)

    def take(self, indices: NDArray[np.int64]) -> "Dataset":
        """The pictures at `indices`, in that order."""
        return replace(self, images=self.images[indices], labels=self.labels[indices])

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


def names() -> list[str]:
    """The data sets known by name."""
    return list(_sources())


def _sources() -> dict[str, ModuleType]:
    """Which module reads which data set: each has `SPLITS` and `load`."""
    from cvae_cli.data import cifar, mnist

    return {**dict.fromkeys(mnist.FAMILY, mnist), "cifar-10": cifar}


def load_dataset(
    name: str,
    split: str,
    *,
    data_dir: Path | None = None,
    report: Report = lambda here, total: None,
) -> Dataset:
    """A split of the data set `name`, fetched into the cache when it is not there.

    Args:
        split: `train` or `test`.
        data_dir: a folder with the data set's published files, instead of the cache; nothing is fetched into it.
        report: told of the bytes as they arrive.

    Raises:
        UsageError: no such data set or split.
        MissingError: a file is absent and cannot be fetched.
        CorruptError: a file is damaged.
    """
    check_name(name, split)
    dataset: Dataset = _sources()[name].load(name, split, data_dir=data_dir, report=report)
    return dataset


def check_name(name: str, split: str) -> None:
    """Raise a UsageError where there is no such data set or split."""
    source = _sources().get(name)
    if source is None:
        raise UsageError(f'no data set "{name}".{did_you_mean(name, names())}', hint=f"data sets: {', '.join(names())}")
    if split not in source.SPLITS:
        raise UsageError(
            f'{name} has no split "{split}".{did_you_mean(split, list(source.SPLITS))}',
            hint=f"splits: {', '.join(source.SPLITS)}",
        )
