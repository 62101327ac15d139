"""What a data set is: pictures as an array, and a class or captions for each."""

from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from jaxtyping import Int64, UInt8

from cvae_cli.config.model import ImageShape
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.parts import spare_first
from cvae_cli.data.prepared import Prepared
from cvae_cli.data.stream import Stream
from cvae_cli.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Dataset:
    """One split of a data set, with `n` pictures.

    Attributes:
        name: of the data set, as it is recorded (see `Source.full_name`).
        split: which split it is.
        pixels: in memory or mapped from a file. They may contain more pictures than the data set.
        rows: the positions of the data set's pictures in `pixels`.
        conditions: the class or the captions of each of the `n` pictures.
        licence: of the pictures.
        cache: the folder of the prepared pictures, which may also keep what is computed from them.
        prepared: knows the digests of prepared pictures.
        larger: the same pictures in a larger size, of which a training shows windows.
        stream: all pictures to train on, if these are only the first few of them.
    """

    name: str
    split: str
    pixels: UInt8[np.ndarray, "m h w c"]
    rows: Int64[np.ndarray, " n"]
    conditions: Labels | Captions
    licence: str
    cache: Path | None = None
    prepared: Prepared | None = field(default=None, compare=False, repr=False)
    larger: "Dataset | None" = None
    stream: Stream | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def pictures(self) -> int:
        """The number of pictures to train on, those of a stream too."""
        return len(self) if self.stream is None else self.stream.pictures

    @property
    def images(self) -> UInt8[np.ndarray, "n h w c"]:
        """All pictures, read into memory."""
        return self.read(np.arange(len(self)))

    def read(self, indices: Int64[np.ndarray, " b"]) -> UInt8[np.ndarray, "b h w c"]:
        """Read the pictures at `indices` into memory.

        Raises:
            CorruptError: prepared pictures have changed since they were written.
        """
        rows = self.rows[indices]
        if self.prepared is not None:
            self.prepared.check(self.pixels, rows)
        return self.pixels[rows]

    @property
    def image_shape(self) -> ImageShape:
        """The shape of each picture."""
        _, size, _, channels = self.pixels.shape
        return ImageShape(size=size, channels=channels)

    def take(self, indices: Int64[np.ndarray, " n"]) -> "Dataset":
        """Return the pictures at `indices`, in that order, without copying pixels."""
        larger = None if self.larger is None else self.larger.take(indices)
        return replace(self, rows=self.rows[indices], conditions=self.conditions.take(indices), larger=larger)

    def limit(self, n: int | None) -> "Dataset":
        """Return the first `n` pictures, or all when there are fewer or `n` is absent."""
        return self if n is None or n >= len(self) else self.take(np.arange(n))

    def choose(self, n: int, seed: int) -> Int64[np.ndarray, " m"]:
        """Return the positions of `n` random pictures, or of all when there are fewer. The seed determines which."""
        return np.random.default_rng(seed).permutation(len(self))[:n] if n < len(self) else np.arange(len(self))

    def sample(self, n: int, seed: int) -> "Dataset":
        """Return the pictures that `choose` chooses."""
        return self.take(self.choose(n, seed)) if n < len(self) else self

    def divide(self, n: int, seed: int) -> tuple["Dataset", "Dataset"]:
        """Return the pictures that `division` keeps, and those that it holds out."""
        kept, held_out = self.division(n, seed)
        return self.take(kept), self.take(held_out)

    def division(self, n: int, seed: int) -> tuple[Int64[np.ndarray, " k"], Int64[np.ndarray, " l"]]:
        """Hold out `n` random pictures, but at most a tenth of all, and of no class all. The seed determines which.

        Returns:
            the positions of the remaining pictures, and of those held out, in order.

        Raises:
            UsageError: no pictures would remain.
        """
        n = min(n, max(1, len(self) // 10))
        if n >= len(self):
            raise UsageError(f"{self.name} has too few pictures to learn from: {len(self)}")
        order = np.random.default_rng(seed).permutation(len(self))
        if isinstance(self.conditions, Labels):
            classes = self.conditions.indices[order]
            order = order[spare_first(classes)]
            n = min(n, max(1, len(self) - len(np.unique(classes))))
        return np.sort(order[n:]), np.sort(order[:n])


def dataset_from_pixels(
    name: str, split: str, pixels: UInt8[np.ndarray, "n h w c"], conditions: Labels | Captions, licence: str
) -> Dataset:
    """Return a data set with all pictures of `pixels`."""
    return Dataset(
        name=name, split=split, pixels=pixels, rows=np.arange(len(pixels)), conditions=conditions, licence=licence
    )
