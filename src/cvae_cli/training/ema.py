"""An exponential moving average of a model's weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn


class EMA:
    """Follows the parameters of a model; `decay` 0 means the parameters themselves.

    The decay is smaller in the first steps, (1 + n) / (10 + n), so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters = dict(model.named_parameters())
        self.average = {name: p.detach().clone() for name, p in self.parameters.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the parameters after optimizer step `step` (from 0)."""
        if self.average:
            weight = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.values()), list(self.parameters.values()), weight)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        own = {name: p.detach().clone() for name, p in self.parameters.items()} if self.average else {}
        self._load(self.average)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.parameters[name].copy_(tensor)
