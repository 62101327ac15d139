"""The embedded text encoder as a module of torch, whose operations can be exported.

Words become tokens outside of it, by the tokenizer that `client_tokenizer` returns, which reads one file in every
language that the library `tokenizers` serves. The vectors are those of `StaticEncoder`, to the bit.
"""

import json

import safetensors.torch
import torch
from jaxtyping import Float, Int64
from torch import Tensor, nn

from cvae_cli.text.static import PAIR_STEP, PRODUCT_STEP, TOKENIZER, UNKNOWN, VECTORS, vector_length


class StaticGraph(nn.Module):
    """Encodes texts whose tokens are given, as `StaticEncoder` encodes texts."""

    vectors: Tensor
    scales: Tensor
    left: Tensor
    right: Tensor
    out: Tensor

    def __init__(self) -> None:
        super().__init__()
        for name, tensor in safetensors.torch.load_file(VECTORS).items():
            self.register_buffer(name, tensor)

    def forward(self, tokens: Int64[Tensor, "n length"]) -> Float[Tensor, "n width"]:
        """Return the vectors of texts.

        Args:
            tokens: of each text, filled up with `UNKNOWN`, which is passed over also where it stands for a word.
        """
        length = tokens.shape[1]
        known = tokens != UNKNOWN
        places = torch.where(known, known.cumsum(1) - 1, length)  # known tokens first, in their order
        room = tokens.new_full((tokens.shape[0], length + 1), UNKNOWN)
        tokens = room.scatter(1, places, tokens)
        vectors = self.vectors[tokens].double() * self.scales[tokens].double()[..., None]
        vectors = vectors * (tokens != UNKNOWN)[..., None]  # (n, length + 1, width)
        left, right = (vectors @ (each.double() * PAIR_STEP) for each in (self.left, self.right))
        products = left[:, :-1] * right[:, 1:]  # of neighbours, (n, length, pairs)
        pairs = (products / PRODUCT_STEP).round() * PRODUCT_STEP
        sums = vectors.sum(1) + pairs.sum(1) @ (self.out.double() * PAIR_STEP)
        return (sums * (self.vectors.shape[1] ** 0.5 / vector_length(sums))).float()


def client_tokenizer() -> str:
    """Return the encoder's tokenizer as JSON. It normalises characters by itself and fills texts up to one length."""
    settings = json.loads(TOKENIZER.read_text(encoding="utf-8"))
    settings["normalizer"] = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, settings["normalizer"]]}
    settings["padding"] = {
        "strategy": "BatchLongest",
        "direction": "Right",
        "pad_to_multiple_of": None,
        "pad_id": UNKNOWN,
        "pad_type_id": 0,
        "pad_token": settings["model"]["unk_token"],
    }
    return json.dumps(settings, ensure_ascii=False, separators=(",", ":"))
