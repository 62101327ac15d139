"""The text encoder that comes along: a vector a token, added up; no deep network, and nothing to download.

The vectors are distilled from a sentence encoder by `benchmarks/distil_static.py`; a vector's length is the weight of
its token, as in the static models of Tulkens & van Dongen 2024 (https://github.com/MinishLab/model2vec). Beyond them,
neighbours add what they mean together: "hot dog" is not what "hot" and "dog" are.

    sum_i v_i  +  out^T sum_i (left^T v_i) * (right^T v_i+1)

Sums are exact: all that is added up is a multiple of some small power of two (an 8-bit integer times a half-precision
scale, of 2^-24), and float64 has the bits for it. So neither the batch, nor the number of threads, nor the processor
decides about the last bit.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float, Float64
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.config.model import StaticCondition
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.text.encoder import TextEncoder

VECTORS = Path(__file__).with_name("static.safetensors")
TOKENIZER = Path(__file__).with_name("static-tokenizer.json")
UNKNOWN = 0  # the token of every word that is none
PAIR_STEP = 2.0**-12  # of the weights that neighbours are multiplied with

_PRODUCT_STEP = 2.0**-20  # that their products are rounded to
_BLOCK = 2**18  # characters at a time, which bounds the memory
_NAMED = 3  # unknown words, before the rest are counted
_UNDECODED = re.compile("[\ud800-\udfff\ufffd]")  # what is left of bytes that are no text
_SPELLED = {"So", "Sm", "Me"}  # Unicode categories: pictographs, arrows and the like, the frame of a keycap


class StaticEncoder(TextEncoder):
    """English words to vectors of length sqrt(width), so that a coordinate is of about unit size.

    Args:
        folder: where the two files are, if not here.
    """

    settings: StaticCondition

    def __init__(self, folder: Path = VECTORS.parent) -> None:
        files = [(folder / path.name).read_bytes() for path in (VECTORS, TOKENIZER)]
        tensors = safetensors.torch.load(files[0])
        self._vectors, self._scales = tensors["vectors"], tensors["scales"]  # (tokens, width) int8, (tokens,) half
        # (width, pairs), (width, pairs), (pairs, width)
        self._left, self._right, self._out = (tensors[name].double() * PAIR_STEP for name in ("left", "right", "out"))
        self._tokenizer = Tokenizer.from_buffer(files[1])
        self.settings = StaticCondition(
            width=self._vectors.shape[1], sha256=hashlib.sha256(b"".join(files)).hexdigest()
        )

    def encode(self, texts: Sequence[str], *, callback: Callback = ignore) -> Float[Tensor, "n width"]:
        """See `TextEncoder.encode`; a text's vector is the same to the bit, whatever is encoded beside it."""
        vectors = torch.empty(len(texts), self.settings.width)
        unknown: dict[str, None] = {}  # a set that keeps its order
        for block in _blocks(texts):
            words = [spell_out(text) for text in texts[block]]
            encodings = self._tokenizer.encode_batch(words)
            ids: list[list[int]] = []
            for text, said, encoding in zip(texts[block], words, encodings, strict=True):
                tokens = encoding.ids
                if UNKNOWN in tokens:
                    unknown.update(dict.fromkeys(_unknown_words(said, encoding)))
                    tokens = [token for token in tokens if token != UNKNOWN]
                if not tokens:
                    raise _meaningless(text)
                ids.append(tokens)
            sums = self._sum(ids)
            vectors[block] = (sums * (self.settings.width**0.5 / _length(sums))).float()
        if unknown:
            named = ", ".join(map(quoted, list(unknown)[:_NAMED]))
            more = f" and {len(unknown) - _NAMED} more" if len(unknown) > _NAMED else ""
            callback(Notice(f"the text encoder reads English, and passes over {named}{more}", is_warning=True))
        return vectors

    def _sum(self, ids: Sequence[Sequence[int]]) -> Float64[Tensor, "n width"]:
        """What the tokens of each text come to, alone and with their neighbours; exact, so in whatever order."""
        starts = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
        used, places = torch.tensor([token for text in ids for token in text]).unique(return_inverse=True)
        vectors = self._vectors[used].double() * self._scales[used, None].double()
        pairs = (vectors @ self._left)[places] * (vectors @ self._right)[places.roll(-1)]  # (tokens, pairs)
        pairs[starts - 1] = 0  # the last token of a text is followed by none
        pairs = (pairs / _PRODUCT_STEP).round() * _PRODUCT_STEP
        together = F.embedding_bag(torch.arange(len(places)), pairs, starts, mode="sum")
        return F.embedding_bag(places, vectors, starts, mode="sum") + together @ self._out


def spell_out(text: str) -> str:
    """`text` with pictographs as words, by their Unicode name, and without what is no character at all."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _UNDECODED.sub(" ", text))
    return "".join(f" {_name(c)} " if unicodedata.category(c) in _SPELLED and not c.isascii() else c for c in text)


def _name(character: str) -> str:
    return unicodedata.name(character, "").lower().removeprefix("combining enclosing ")


def _blocks(texts: Sequence[str]) -> Iterator[slice]:
    """Slices of `texts`, of one text at least."""
    start = characters = 0
    for position, text in enumerate(texts):
        if position > start and characters + len(text) > _BLOCK:
            yield slice(start, position)
            start, characters = position, 0
        characters += len(text)
    if texts:
        yield slice(start, len(texts))


def _length(vectors: Float64[Tensor, "n width"]) -> Float64[Tensor, "n 1"]:
    """Euclidean length, added up by halves: an order of its own, whatever the batch and the processor."""
    squares = vectors.square()
    while squares.shape[1] > 1:
        squares = squares[:, ::2] + squares[:, 1::2]
    return squares.sqrt().clamp_min(1e-12)


def _unknown_words(text: str, encoding: Encoding) -> Iterator[str]:
    """The parts of `text` that are no token; neighbours, as in Chinese, as one."""
    begin = end = -1
    for token, (first, last) in zip(encoding.ids, encoding.offsets, strict=True):
        if token != UNKNOWN:
            continue
        if first != end:
            if end > begin:
                yield text[begin:end]
            begin = first
        end = last
    if end > begin:
        yield text[begin:end]


def _meaningless(text: str) -> UsageError:
    if not text.replace("\0", "").strip():
        return UsageError("the prompt is empty")
    return UsageError(f"nothing in {quoted(text)} that the text encoder knows; it reads English")
