"""What is known of each picture of a data set: a class, or captions."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from jaxtyping import Float16, Float32, Float64, Int64

from cvae_cli.config.condition import LabelClass, TextCondition
from cvae_cli.errors import UsageError, quoted

_SEPARATORS = str.maketrans("_-", "  ")
_INVISIBLE = re.compile("[\u00ad\u034f\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufe0e\ufe0f\ufeff]")

_MAX_NAMED = 10  # classes that a message names

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

    def unseen(self) -> list[str]:
        """Return the names of the classes without a picture."""
        seen = set(self.indices.tolist())
        return [each.name for index, each in enumerate(self.classes) if index not in seen]

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


def name_classes(names: Sequence[str], where: str) -> tuple[LabelClass, ...]:
    """Return classes named as a user has named them, for example by folders.

    Args:
        where: what has the names, for messages.

    Raises:
        UsageError: a prompt could not name one of the classes, or not tell two of them apart. The message names them.
    """
    seen: dict[str, str] = {}
    for name in names:
        key = visible(name)
        if not key.isprintable() or not key:
            problem = "holds a control character or is not valid text" if key else "has no visible character"
            raise UsageError(f"{where}: a class is named {name!a}, which {problem}", hint="rename its folder")
        if key in seen:
            raise UsageError(
                f"{where}: no prompt could tell the classes {seen[key]!a} and {name!a} apart",
                hint="their names look the same: rename one of the folders, or move their pictures into one",
            )
        seen[key] = name
    return tuple(LabelClass(name=name, words=(_spoken(name),)) for name in names)


def class_changes(before: Sequence[str], now: Sequence[str]) -> str:
    """Return which classes are new and which are gone, for a message: `new: "emu"; gone: "dog"`."""
    changes = []
    for what, names, others in (("new", now, before), ("gone", before, now)):
        if different := [quoted(name) for name in names if name not in others]:
            more = ", ..." if len(different) > _MAX_NAMED else ""
            changes.append(f"{what}: {', '.join(different[:_MAX_NAMED])}{more}")
    return "; ".join(changes) or "in another order"


def visible(text: str) -> str:
    """Return a text as a reader sees it: in one Unicode normal form, without invisible characters and outer spaces."""
    return " ".join(_INVISIBLE.sub("", unicodedata.normalize("NFC", text)).split())


def _spoken(name: str) -> str:
    """Return a name with spaces for the signs that stand for them: "hot_dog" is "hot dog"."""
    return " ".join(name.translate(_SEPARATORS).split()) or name.strip()
