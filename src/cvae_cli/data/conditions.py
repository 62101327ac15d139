"""What stands beside each picture of a data set: a class, or captions."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cvae_cli.config.model import LabelClass, TextCondition

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """A class for each picture.

    Attributes:
        indices: int64 `(n,)`.
        classes: what the indices mean.
    """

    indices: NDArray[np.int64]
    classes: tuple[LabelClass, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, rows: Rows) -> "Labels":
        return replace(self, indices=self.indices[rows])

    def values(self, rows: Rows, chance: NDArray[np.float64] | None = None) -> NDArray[np.int64]:
        """The conditions of the pictures at `rows`, `(b,)`."""
        return self.indices[rows]

    def text(self, row: int) -> str:
        """What the picture at `row` shows, in words."""
        return self.classes[self.indices[row]].name

    def captions(self) -> "Captions":
        """Each class's name and words as the captions of its pictures, the name first."""
        words = [tuple(dict.fromkeys((each.name, *each.words))) for each in self.classes]
        ends = np.cumsum([0, *map(len, words)])
        return Captions(
            sentences=tuple(word for each in words for word in each),
            first=ends[:-1][self.indices],
            count=np.diff(ends)[self.indices],
        )


@dataclass(frozen=True)
class Captions:
    """One or more captions for each picture, and once a text encoder has seen them, a vector for each caption.

    Attributes:
        sentences: every caption, `m` of them.
        first: where the captions of each picture begin, int64 `(n,)`.
        count: how many it has, int64 `(n,)`, at least 1.
        vectors: float16 `(m, d)`, in memory or mapped from a file; absent until they are encoded.
        encoder: which encoder they come from.
    """

    sentences: tuple[str, ...]
    first: NDArray[np.int64]
    count: NDArray[np.int64]
    vectors: NDArray[np.float16] | None = None
    encoder: TextCondition | None = None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Rows) -> "Captions":
        return replace(self, first=self.first[rows], count=self.count[rows])

    def compact(self) -> "Captions":
        """Without the captions of other pictures, and not encoded."""
        ends = self.first + self.count
        return make_captions([list(self.sentences[a:b]) for a, b in zip(self.first, ends, strict=True)])

    def values(self, rows: Rows, chance: NDArray[np.float64] | None = None) -> NDArray[np.float32]:
        """The vector of one caption for each of the pictures at `rows`, `(b, d)`.

        Args:
            chance: numbers in [0, 1) that say which caption, `(b,)`; the first when absent.
        """
        if self.vectors is None:
            raise ValueError("captions must be encoded before a model can see them")
        chosen = self.first[rows]
        if chance is not None:
            chosen = chosen + (chance * self.count[rows]).astype(np.int64)
        return self.vectors[chosen].astype(np.float32)

    def text(self, row: int) -> str:
        """What the picture at `row` shows: its first caption."""
        return self.sentences[self.first[row]]


def make_captions(texts: list[list[str]], **others: Any) -> Captions:
    """The captions of pictures, a list for each."""
    counts = np.array([len(each) for each in texts], np.int64)
    return Captions(
        sentences=tuple(caption for each in texts for caption in each),
        first=np.cumsum(counts) - counts,
        count=counts,
        **others,
    )
