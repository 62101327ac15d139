"""The embedded text encoder: a sum of token vectors, without a deep network and without a download.

The vectors are distilled from a sentence encoder by `benchmarks/distil_static.py`. The length of a vector is the weight
of its token, as in the static models of Tulkens & van Dongen 2024 (https://github.com/MinishLab/model2vec). In
addition, each pair of neighbours contributes what it means together: "hot dog" is more than "hot" and "dog".

    sum_i v_i  +  out^T sum_i (left^T v_i) * (right^T v_i+1)

The sums are exact: all terms are multiples of a small power of two (an 8-bit integer times a half-precision scale is a
multiple of 2^-24), and float64 has enough bits for them. So the result is the same to the bit for every batch, number
of threads and processor.
"""

import hashlib
import re
import unicodedata
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float, Float64
from tokenizers import Encoding, Tokenizer
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.config.condition import StaticCondition
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.lexicon import has_pieces, is_nonsense, new_words

VECTORS = Path(__file__).with_name("static.safetensors")
TOKENIZER = Path(__file__).with_name("static-tokenizer.json")
UNKNOWN = 0  # the token of all unknown words
PAIR_STEP = 2.0**-12  # the weights of pairs are multiples of it
PRODUCT_STEP = 2.0**-20  # the products of pairs are rounded to multiples of it

_BLOCK = 2**18  # characters encoded at a time, to bound the memory
_MAX_NAMED = 3  # unknown words that a notice names; it counts the others
_UNDECODED = re.compile("[\ud800-\udfff\ufffd]")  # characters that stand for bytes that are not text
_SPELLED = {"So", "Sm", "Me"}  # Unicode categories: pictographs; arrows and other symbols; the frame of a keycap


class StaticEncoder(TextEncoder):
    """Encodes English texts as vectors of length sqrt(width), so that a coordinate is about 1 in size.

    Args:
        model, device, callback: unused; there is one model, which computes on the CPU.
        folder: the folder of the two files.
    """

    settings: StaticCondition

    def __init__(
        self,
        model: str | None = None,
        *,
        device: torch.device | None = None,
        callback: Callback = ignore,
        folder: Path = VECTORS.parent,
    ) -> None:
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
        """See `TextEncoder.encode`. The vector of a text is the same to the bit for every batch."""
        vectors = torch.empty(len(texts), self.settings.width)
        unknown: dict[str, None] = {}  # ordered sets
        guessed: dict[str, None] = {}
        for block in _blocks(texts):
            spelled = [spell_out(text) for text in texts[block]]
            encodings = self._tokenizer.encode_batch(spelled)
            ids: list[list[int]] = []
            for text, words, encoding in zip(texts[block], spelled, encodings, strict=True):
                tokens = encoding.ids
                if UNKNOWN in tokens:
                    unknown.update(dict.fromkeys(_unknown_words(words, encoding)))
                    tokens = [token for token in tokens if token != UNKNOWN]
                if has_pieces(encoding):
                    new = new_words(words, encoding, self._tokenizer)
                    guessed.update(dict.fromkeys(new))
                    if sum(map(len, new.values())) == len(tokens) and all(map(is_nonsense, new, new.values())):
                        tokens = []
                if not tokens:
                    raise _no_words_error(text)
                ids.append(tokens)
            sums = self._sum(ids)
            vectors[block] = (sums * (self.settings.width**0.5 / vector_length(sums))).float()
        if unknown:
            callback(Notice(f"the text encoder reads English, and ignores {_named(unknown)}", is_warning=True))
        if guessed:
            callback(
                Notice(
                    f"the text encoder does not know {_named(guessed)}, and guesses from parts of words",
                    is_warning=True,
                )
            )
        return vectors

    def _sum(self, ids: Sequence[Sequence[int]]) -> Float64[Tensor, "n width"]:
        """Add up the tokens of each text, and its pairs of neighbours. The sums are exact in any order."""
        starts = torch.tensor([0, *map(len, ids[:-1])]).cumsum(0)
        used, positions = torch.tensor([token for text in ids for token in text]).unique(return_inverse=True)
        vectors = self._vectors[used].double() * self._scales[used, None].double()
        pairs = (vectors @ self._left)[positions] * (vectors @ self._right)[positions.roll(-1)]  # (tokens, pairs)
        pairs[starts - 1] = 0  # the last token of a text has no neighbour after it
        pairs = (pairs / PRODUCT_STEP).round() * PRODUCT_STEP
        pair_sums = F.embedding_bag(torch.arange(len(positions)), pairs, starts, mode="sum")
        return F.embedding_bag(positions, vectors, starts, mode="sum") + pair_sums @ self._out


def spell_out(text: str) -> str:
    """Replace pictographs by their Unicode names, and remove what is not a character."""
    if text.isascii():
        return text
    text = unicodedata.normalize("NFKC", _UNDECODED.sub(" ", text))
    return "".join(f" {_name(c)} " if unicodedata.category(c) in _SPELLED and not c.isascii() else c for c in text)


def _name(character: str) -> str:
    return unicodedata.name(character, "").lower().removeprefix("combining enclosing ")


def _blocks(texts: Sequence[str]) -> Iterator[slice]:
    """Yield slices of `texts` with about `_BLOCK` characters, and at least one text."""
    start = characters = 0
    for position, text in enumerate(texts):
        if position > start and characters + len(text) > _BLOCK:
            yield slice(start, position)
            start, characters = position, 0
        characters += len(text)
    if texts:
        yield slice(start, len(texts))


def vector_length(vectors: Float64[Tensor, "n width"]) -> Float64[Tensor, "n 1"]:
    """Return the Euclidean length. The squares are added pairwise, in the same order for every batch and processor."""
    squares = vectors.square()
    while squares.shape[1] > 1:
        squares = squares[:, ::2] + squares[:, 1::2]
    return squares.sqrt().clamp_min(1e-12)


def _unknown_words(text: str, encoding: Encoding) -> Iterator[str]:
    """Yield the parts of `text` that are unknown. Adjacent ones, as in Chinese, are joined."""
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


def _named(words: Collection[str]) -> str:
    """Return the first of some words in quotes, and the number of the others."""
    more = f" and {len(words) - _MAX_NAMED} more" if len(words) > _MAX_NAMED else ""
    return ", ".join(map(quoted, list(words)[:_MAX_NAMED])) + more


def _no_words_error(text: str) -> UsageError:
    if not text.replace("\0", "").strip():
        return UsageError("the prompt is empty")
    return UsageError(f"the text encoder knows no word of {quoted(text)}; it reads English")
