"""What is known of each picture of a data set: a class, or captions."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int64

from cvae_cli.config.model import LabelClass, TextCondition

Rows = Int64[np.ndarray, " b"]
"""Positions of pictures in a data set."""


@dataclass(frozen=True)
class Labels:
    """A class for each of `n` pictures.

    Attributes:
        indices: the class of each picture.
        classes: the classes that the indices refer to.
    """

    indices: Int64[np.ndarray, " n"]
    classes: tuple[LabelClass, ...]

    def __len__(self) -> int:
        return len(self.indices)

    def take(self, rows: Rows) -> "Labels":
        """Return the labels of the pictures at `rows`."""
        return replace(self, indices=self.indices[rows])

    def values(self, rows: Rows, uniform: Float64[np.ndarray, " b"] | None = None) -> Int64[np.ndarray, " b"]:
        """Return the class indices of the pictures at `rows`; `uniform` is not used."""
        return self.indices[rows]

    def text(self, row: int) -> str:
        """Return the name of the class of the picture at `row`."""
        return self.classes[self.indices[row]].name

    def captions(self) -> "Captions":
        """Return captions made of classes: for each picture the name of its class, then the words that mean it."""
        words = [tuple(dict.fromkeys((each.name, *each.words))) for each in self.classes]
        ends = np.cumsum([0, *map(len, words)])
        return Captions(
            sentences=tuple(word for each in words for word in each),
            first=ends[:-1][self.indices],
            count=np.diff(ends)[self.indices],
        )


@dataclass(frozen=True)
class Captions:
    """One or more captions for each of `n` pictures and, once they are encoded, a vector for each caption.

    Attributes:
        sentences: all `m` captions, picture by picture.
        first: the position of the first caption of each picture in `sentences`.
        count: the number of captions of each picture, at least 1.
        vectors: of the captions, in memory or mapped from a file; absent until they are encoded.
        encoder: the text encoder that computed the vectors.
    """

    sentences: tuple[str, ...]
    first: Int64[np.ndarray, " n"]
    count: Int64[np.ndarray, " n"]
    vectors: Float16[np.ndarray, "m d"] | None = None
    encoder: TextCondition | None = None

    def __len__(self) -> int:
        return len(self.first)

    def take(self, rows: Rows) -> "Captions":
        """Return the captions of the pictures at `rows`. `sentences` and `vectors` are shared, not copied."""
        return replace(self, first=self.first[rows], count=self.count[rows])

    def compact(self) -> "Captions":
        """Return the captions without sentences of other pictures, and without vectors."""
        ends = self.first + self.count
        return make_captions([list(self.sentences[a:b]) for a, b in zip(self.first, ends, strict=True)])

    def values(self, rows: Rows, uniform: Float64[np.ndarray, " b"] | None = None) -> Float32[np.ndarray, "b d"]:
        """Return the vector of one caption of each of the pictures at `rows`.

        Args:
            uniform: random numbers in [0, 1) that choose among the captions of each picture. When absent, the first
                caption is taken.
        """
        if self.vectors is None:
            raise ValueError("captions must be encoded before a model can use them")
        chosen = self.first[rows]
        if uniform is not None:
            chosen = chosen + (uniform * self.count[rows]).astype(np.int64)
        return self.vectors[chosen].astype(np.float32)

    def text(self, row: int) -> str:
        """Return the first caption of the picture at `row`."""
        return self.sentences[self.first[row]]


def make_captions(texts: list[list[str]], **others: Any) -> Captions:
    """Return the captions of pictures, given a list of captions for each."""
    counts = np.array([len(each) for each in texts], np.int64)
    return Captions(
        sentences=tuple(caption for each in texts for caption in each),
        first=np.cumsum(counts) - counts,
        count=counts,
        **others,
    )


def make_classes(words: Mapping[str, str]) -> tuple[LabelClass, ...]:
    """Return classes, given the words that mean each: `{"cat": "cat, kitten"}`."""
    return tuple(LabelClass(name=name, words=tuple(each.split(", "))) for name, each in words.items())
