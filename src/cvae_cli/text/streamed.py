"""The conditions of a stream: its captions are encoded batch by batch, while the training goes on."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from jaxtyping import Float32, Float64, Int64
from numpy.typing import NDArray

from cvae_cli.config.condition import LabelClass
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.shard_classes import class_index, class_indices
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.vectors import vectors_or_zeros

_MAX_UNKNOWN = 0.01  # of all captions, once there are
_FEW = 1000  # captions, by which that can be told
_KEPT = 100_000  # vectors that are kept because their captions may come again

Texts = Sequence[Sequence[str]]
"""The captions, or the class, of each picture."""
Uniform = Float64[np.ndarray, " b"]
"""Random numbers in [0, 1) that choose a caption of each picture."""


def with_stream_conditions(
    dataset: Dataset, told: Labels | Captions, encoder: TextEncoder | None, callback: Callback
) -> Dataset:
    """Return the data set with conditions for the pictures of its stream, if it has one.

    Args:
        told: what is known of its first pictures, before it was encoded.
        encoder: encodes the captions, or the names of the classes; without an encoder the conditions are labels.
    """
    if dataset.stream is None:
        return dataset
    classes = told.classes if isinstance(told, Labels) else ()
    values = _Encoded(encoder, classes, dataset.stream.name, callback) if encoder else _Classes(classes, dataset.name)
    return replace(dataset, stream=replace(dataset.stream, values=values))


@dataclass
class _Classes:
    """Turns what files say of classes into their numbers."""

    classes: tuple[LabelClass, ...]
    where: str

    def __call__(self, texts: Texts, uniform: Uniform) -> Int64[np.ndarray, " b"]:
        return class_indices([each[0] for each in texts], self.classes, self.where)


@dataclass
class _Encoded:
    """Encodes one caption of each picture, or one of the words that mean its class."""

    encoder: TextEncoder
    classes: tuple[LabelClass, ...]
    where: str
    callback: Callback
    seen: int = 0
    unknown: int = 0
    vectors: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def __call__(self, texts: Texts, uniform: Uniform) -> Float32[np.ndarray, "b d"]:
        if self.classes:
            texts = [self._words(each[0]) for each in texts]
        chosen = [each[int(number * len(each))] for each, number in zip(texts, uniform, strict=True)]
        new = [text for text in dict.fromkeys(chosen) if text not in self.vectors]
        if len(self.vectors) + len(new) > _KEPT:
            self.vectors.clear()
            new = list(dict.fromkeys(chosen))
        self.vectors.update(zip(new, self._encode(new), strict=True))
        self._check()
        return np.stack([self.vectors[text] for text in chosen])

    def _words(self, label: str) -> list[str]:
        """Return the name of a class, and the words that mean it."""
        found = self.classes[class_index(label, self.classes, self.where)]
        return list(dict.fromkeys((found.name, *found.words)))

    def _encode(self, texts: list[str]) -> list[NDArray[np.float32]]:
        """Encode captions, in half precision as in the cache; one without any word that is known becomes 0."""
        self.seen += len(texts)
        unknown: list[str] = []
        vectors = vectors_or_zeros(texts, self.encoder, unknown) if texts else ()
        if unknown and not self.unknown:
            told = f"the text encoder knows no word of a caption: {quoted(unknown[0])}"
            self.callback(Notice(told, is_warning=True))
        self.unknown += len(unknown)
        return [vector.astype(np.float16).astype(np.float32) for vector in vectors]

    def _check(self) -> None:
        """Raise a UsageError if more than 1% of the captions say nothing."""
        if self.seen >= _FEW and self.unknown > _MAX_UNKNOWN * self.seen:
            raise UsageError(
                f'too many captions have no word that the text encoder "{self.encoder.settings.kind}" knows: '
                f"{self.unknown:,} of {self.seen:,}",
                hint="static reads English; clip, a larger download, reads more:  --condition clip",
            )
