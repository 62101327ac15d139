"""Noise that belongs to a picture, not to a batch."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor


def noise(seed: int, indices: Sequence[int], shape: tuple[int, ...]) -> Float[Tensor, "n ..."]:
    """Standard normal noise `(len(indices), *shape)`, float32 on the CPU.

    Row i depends on `(seed, indices[i])` alone: a counter-based generator (Philox, Salmon et al. 2011) is keyed by
    that pair, so neither the batch, the device nor the other samples of a call change it.
    """
    rows = np.empty((len(indices), *shape), np.float32)
    for row, index in zip(rows, indices, strict=True):
        key = np.array([seed, index], np.uint64)
        np.random.Generator(np.random.Philox(key=key)).standard_normal(dtype=np.float32, out=row)
    return torch.from_numpy(rows)


@dataclass(frozen=True)
class BatchRandom:
    """Random numbers for the rows of a training batch, from torch's own generator.

    Of several processes that share a batch each draws for the whole batch and takes its own rows: together they have
    the numbers that one process alone would have.
    """

    rank: int = 0
    size: int = 1

    def normal(self, *shape: int, device: torch.device) -> Float[Tensor, "b ..."]:
        """Standard normal numbers of a shape whose first part is the rows of this process."""
        return self._mine(torch.randn(self.size * shape[0], *shape[1:], device=device))

    def uniform(self, rows: int, *, device: torch.device) -> Float[Tensor, " b"]:
        """A number in [0, 1) for each row."""
        return self._mine(torch.rand(self.size * rows, device=device))

    def _mine(self, rows: Tensor) -> Tensor:
        return rows.chunk(self.size)[self.rank]
