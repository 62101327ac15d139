"""Noise that belongs to a picture, not to a batch."""

from collections.abc import Sequence

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
