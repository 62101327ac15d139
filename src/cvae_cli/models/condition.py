"""How a condition enters a network.

A condition is a tensor with one row for each picture: class indices, int64 `(b,)`, or vectors of texts, float
`(b, d)`. Between two classes there are mixtures of them, float `(b, classes)`.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings, LabelCondition

Condition = Tensor


def embedding(condition: ConditionSettings, width: int) -> nn.Module:
    """Return a learned map from conditions to vectors `(b, width)`: a table for labels, a linear layer for texts."""
    if isinstance(condition, LabelCondition):
        return LabelTable(len(condition.classes), width)
    return nn.Linear(condition.width, width)


def as_vector(condition: ConditionSettings, label_width: int) -> tuple[nn.Module, int]:
    """Return a map from conditions to vectors, and their width: a learned table for labels, the identity for texts."""
    if isinstance(condition, LabelCondition):
        return LabelTable(len(condition.classes), label_width), label_width
    return nn.Identity(), condition.width


class LabelTable(nn.Embedding):
    """A learned vector for each class, and for a mixture of classes the mixture of their vectors."""

    def forward(self, condition: Condition) -> Float[Tensor, "b w"]:
        return condition @ self.weight if condition.is_floating_point() else super().forward(condition)


class Join(nn.Module):
    """Joins a condition to features `(b, width)`, or to every position of a map of features `(b, width, h, w)`.

    Args:
        method: `none` does nothing, `concat` appends a vector, `add` adds a vector of the features' width, `modulate`
            scales and shifts the features.
        width: of the features.
        vector: a map from conditions to vectors, and their width. `concat` appends these vectors; `add` adds them if
            they have the features' width, and learns its own otherwise. Several joins may share one map.

    Attributes:
        out_width: width of the result.
    """

    def __init__(
        self,
        method: config.Conditioning,
        condition: ConditionSettings,
        *,
        width: int,
        vector: tuple[nn.Module, int] | None = None,
    ) -> None:
        super().__init__()
        self.method = method
        self.out_width = width
        if method == "concat":
            if vector is None:
                raise ValueError("concat needs a vector to append")
            self.table, appended_width = vector
            self.out_width += appended_width
        elif method == "add":
            self.table = vector[0] if vector and vector[1] == width else embedding(condition, width)
        elif method == "modulate":
            self.table = embedding(condition, 2 * width)

    def forward(self, features: Float[Tensor, "b w *hw"], condition: Condition) -> Float[Tensor, "b out *hw"]:
        if self.method == "none":
            return features
        vector = self.table(condition)
        vector = vector.reshape(*vector.shape, *[1] * (features.ndim - 2))  # (b, w) or (b, w, 1, 1)
        match self.method:
            case "concat":
                return torch.cat([features, vector.expand(-1, -1, *features.shape[2:])], dim=1)
            case "add":
                return features + vector
            case _:
                scale, shift = vector.chunk(2, dim=1)
                return features * (1 + scale) + shift
