"""An exponential moving average of a model's weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cvae_cli.models.tensors import named_tensors


class EMA:
    """Follows the parameters of a model, and its buffers of real numbers (the statistics of batch normalisation);
    `decay` 0 means the weights themselves.

    The decay is smaller in the first steps, (1 + n) / (10 + n), so that the random start is soon forgotten.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: each for name, each in named_tensors(model).items() if each.is_floating_point()}
        self.average = {name: each.detach().clone() for name, each in self.weights.items()} if decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after optimizer step `step` (from 0)."""
        if self.average:
            weight = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), weight)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the model has the averaged weights."""
        own = {name: each.detach().clone() for name, each in self.weights.items()} if self.average else {}
        self._load(self.average)
        try:
            yield
        finally:
            self._load(own)

    @torch.no_grad()
    def _load(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.weights[name].copy_(tensor)
