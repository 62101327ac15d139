"""How a condition enters a network.

A condition is a tensor with one row a picture: class indices, int64 `(b,)`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import Conditioning, LabelCondition

Condition = Tensor


def embedding(condition: LabelCondition, width: int) -> nn.Module:
    """A learned table from conditions to vectors `(b, width)`."""
    return nn.Embedding(len(condition.classes), width)


class Join(nn.Module):
    """Where a condition meets a vector of features `(b, width)`.

    Args:
        method: `none` leaves the features alone, `concat` appends the condition's embedding, `add` adds an embedding
            of the features' own width, `modulate` scales and shifts them by one.
        width: of the features.
        appended: the embedding that `concat` appends and its width; several joins may share one.

    Attributes:
        out_width: of what comes out.
    """

    def __init__(
        self,
        method: Conditioning,
        condition: LabelCondition,
        *,
        width: int,
        appended: tuple[nn.Module, int] | None = None,
    ) -> None:
        super().__init__()
        self.method = method
        self.out_width = width
        if method == "concat":
            if appended is None:
                raise ValueError("concat needs an embedding to append")
            self.table, appended_width = appended
            self.out_width += appended_width
        elif method == "add":
            self.table = embedding(condition, width)
        elif method == "modulate":
            self.table = embedding(condition, 2 * width)

    def forward(self, features: Float[Tensor, "b w"], condition: Condition) -> Float[Tensor, "b out"]:
        match self.method:
            case "concat":
                return torch.cat([features, self.table(condition)], dim=1)
            case "add":
                return features + self.table(condition)
            case "modulate":
                scale, shift = self.table(condition).chunk(2, dim=1)  # each (b, w)
                return features * (1 + scale) + shift
            case _:
                return features
