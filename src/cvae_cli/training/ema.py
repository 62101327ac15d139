"""An exponential moving average of a model's weights."""

import contextlib
from collections.abc import Iterator

import torch
from torch import Tensor, nn

from cvae_cli.models.tensors import named_tensors


class EMA:
    """The moving average of a model's parameters and floating-point buffers (such as batch normalisation's statistics).

    The decay starts smaller, at (1 + n) / (10 + n) in step n, so that the random initial weights are soon forgotten.

    Args:
        decay: the weight of the old average in each step; 0 keeps no average and uses the weights themselves.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.weights = {name: each for name, each in named_tensors(model).items() if each.is_floating_point()}
        self.average: dict[str, Tensor] = {}
        self.reset()

    def reset(self) -> None:
        """Start the average from the model's present weights."""
        self.average = {name: each.detach().clone() for name, each in self.weights.items()} if self.decay else {}

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Add the model's weights after optimizer step `step` (from 0) to the average."""
        if self.average:
            weight = 1 - min(self.decay, (1 + step) / (10 + step))
            torch._foreach_lerp_(list(self.average.values()), list(self.weights.values()), weight)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Give the model the averaged weights for the length of the block."""
        backup = {name: each.detach().clone() for name, each in self.weights.items()} if self.average else {}
        self._copy_to_model(self.average)
        try:
            yield
        finally:
            self._copy_to_model(backup)

    @torch.no_grad()
    def _copy_to_model(self, tensors: dict[str, Tensor]) -> None:
        for name, tensor in tensors.items():
            self.weights[name].copy_(tensor)
