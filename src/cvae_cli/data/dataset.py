"""What a data set is to the rest of the program."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cvae_cli.config.model import ImageShape
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.errors import UsageError


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


def dataset_from_pixels(
    name: str, split: str, pixels: NDArray[np.uint8], conditions: Labels | Captions, licence: str
) -> Dataset:
    """The data set of every picture of `pixels`."""
    return Dataset(
        name=name, split=split, pixels=pixels, rows=np.arange(len(pixels)), conditions=conditions, licence=licence
    )
