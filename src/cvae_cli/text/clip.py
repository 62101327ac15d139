"""The text encoder of a CLIP model.

CLIP is Radford et al. 2021, https://arxiv.org/abs/2103.00020.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.config.condition import ClipCondition
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.text.clip_source import ClipSource, find_clip, load_tensors, make_tokenizer, unbuildable_error
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.sentences import split_sentences, split_to_fit

_BATCH = 256  # sentences in a forward pass on a GPU


class ClipEncoder(TextEncoder):
    """Encodes a text as the mean of its sentences' CLIP embeddings, not normalised, as in the article.

    On a CPU, the vector of a text is the same to the bit for every batch, because sentences are encoded one at a time;
    batches would not be faster there. On a GPU they are, and vectors differ in the last digits.
    """

    settings: ClipCondition

    def __init__(
        self,
        model: str | None = None,
        *,
        device: torch.device | None = None,
        callback: Callback = ignore,
    ) -> None:
        """Load the text tower of a CLIP model, without its picture tower.

        Args:
            model: `ARCHITECTURE/TAG` as open_clip names it, or a folder; OpenAI's ViT-B/32 by default.
            device: the CPU by default.

        Raises:
            UsageError, MissingError, CorruptError: see `find_clip`.
        """
        source = find_clip(model, callback)
        self._device = device or torch.device("cpu")
        self._tower = _text_tower(source).to(self._device)
        self._tokenizer = make_tokenizer(source)
        self._mask = self._tower.attn_mask
        projected = self._tower.text_projection is not None
        width = self._tower.output_dim if projected else self._tower.width
        self.settings = ClipCondition(model=source.name, width=width, sha256=source.sha256)
        self.replacement = f"put the encoder it learned with at {source.name}"

    def encode(self, texts: Sequence[str], *, callback: Callback = ignore) -> Float[Tensor, "n width"]:
        """See `TextEncoder.encode`."""
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts, and was given one text")
        pieces = [self._pieces(text, callback) for text in texts]
        vectors = self._vectors(list(dict.fromkeys(piece for text in pieces for piece in text)))
        means = [torch.stack([vectors[piece] for piece in text]).mean(dim=0) for text in pieces]
        return torch.stack(means) if means else torch.empty(0, self.settings.width)

    def _pieces(self, text: str, callback: Callback) -> list[str]:
        """Split a text into sentences, and sentences that are too long into parts. Each counts as one in the mean."""
        limit = self._tokenizer.context_length - 2  # a token for the start, one for the end
        parts = split_sentences(text)
        count = cache(self._count)  # long texts repeat themselves, and counting takes long
        pieces = [piece for sentence in parts for piece in split_to_fit(sentence, limit, count)]
        if len(pieces) > len(parts):
            callback(
                Notice(
                    f"{quoted(text)} has a sentence of more than {limit} tokens, which CLIP cannot read at once: "
                    "it is encoded in parts",
                    is_warning=True,
                )
            )
        pieces = [piece for piece in pieces if count(piece)]
        if not pieces:
            raise UsageError("the prompt is empty")
        return pieces

    def _count(self, text: str) -> int:
        """Count the tokens of a text."""
        return len(self._tokenizer.encode(text))

    @torch.no_grad()
    def _vectors(self, pieces: list[str]) -> dict[str, Float[Tensor, " width"]]:
        """Encode pieces, one at a time on a CPU and in batches on a GPU."""
        if self._device.type == "cpu":
            return {piece: self._vector(piece) for piece in pieces}
        vectors: dict[str, Tensor] = {}
        for start in range(0, len(pieces), _BATCH):
            block = pieces[start : start + _BATCH]
            output = self._tower(self._tokenizer(block).to(self._device)).cpu()  # (b, width)
            vectors |= dict(zip(block, output, strict=True))
        return vectors

    def _vector(self, piece: str) -> Float[Tensor, " width"]:
        tokens = self._tokenizer([piece])  # (1, context)
        if self._mask is not None and self._tower.pool_type == "argmax":
            # Attention is causal and the vector is that of the last token, so padding need not be computed.
            length = int(tokens.argmax()) + 1
            tokens = tokens[:, :length]
            self._tower.attn_mask = self._mask[:length, :length]
        vector: Tensor = self._tower(tokens)[0]
        return vector


def _text_tower(source: ClipSource) -> Any:
    """Build the frozen text tower, without allocating memory for the picture tower."""
    from open_clip.model import _build_text_tower

    try:
        with torch.device("meta"):
            tower = _build_text_tower(source.model["embed_dim"], source.model["text_cfg"], source.model["quick_gelu"])
    except Exception as error:  # open_clip raises anything for settings that do not fit each other
        raise unbuildable_error(source, error) from error
    load_tensors(tower, source, skip="visual.")
    if tower.attn_mask is not None:
        tower.attn_mask = tower.build_causal_mask()  # it is not in the file
    return tower.eval().requires_grad_(False)
