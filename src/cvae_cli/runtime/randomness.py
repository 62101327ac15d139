"""Random numbers that do not depend on how pictures are batched or shared among processes."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor


def seed_generators(seed: int, device: torch.device) -> None:
    """Seed torch's global generators of the CPU and of a device.

    `torch.manual_seed` seeds those of all kinds of devices, which takes a millisecond where there are none.
    """
    torch.default_generator.manual_seed(seed)
    if device.type != "cpu":
        torch.manual_seed(seed)


def noise(
    seed: int, indices: Sequence[int], shape: tuple[int, ...], *, names: Sequence[str] | None = None
) -> Float[Tensor, "n ..."]:
    """Return standard normal noise `(len(indices), *shape)`, float32 on the CPU.

    Row i depends only on `(seed, indices[i])` and, if there are names, on `names[i]`. They are the key and the counter
    of a counter-based generator (Philox, Salmon et al. 2011), so the row is the same for every batch size and device.
    """
    rows = np.empty((len(indices), *shape), np.float32)
    for number, (row, index) in enumerate(zip(rows, indices, strict=True)):
        if names is None:
            philox = np.random.Philox(key=_uint64(seed, index))
        else:
            philox = np.random.Philox(key=_uint64(seed, _digest(names[number])), counter=_uint64(0, index, 0, 0))
        np.random.Generator(philox).standard_normal(dtype=np.float32, out=row)
    return torch.from_numpy(rows)


def _uint64(*numbers: int) -> NDArray[np.uint64]:
    return np.array(numbers, np.uint64)


def _digest(name: str) -> int:
    return int.from_bytes(hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=8).digest(), "little")


@dataclass(frozen=True)
class BatchRandom:
    """Random numbers for the rows of a training batch, from torch's global generator.

    When several processes share a batch, each draws the numbers of the whole batch and keeps those of its own rows.
    Together they have the numbers that a single process would have.

    Attributes:
        rank: of this process.
        size: the number of processes.
    """

    rank: int = 0
    size: int = 1

    def normal(self, *shape: int, device: torch.device) -> Float[Tensor, "b ..."]:
        """Return standard normal numbers of this shape, whose first dimension counts the rows of this process."""
        return self._own_rows(torch.randn(self.size * shape[0], *shape[1:], device=device))

    def uniform(self, rows: int, *, device: torch.device) -> Float[Tensor, " b"]:
        """Return a uniform number in [0, 1) for each row of this process."""
        return self._own_rows(torch.rand(self.size * rows, device=device))

    def below(self, n: int) -> int:
        """Return a whole number below `n`, the same in every process."""
        return int(torch.randint(n, ()))

    def _own_rows(self, rows: Tensor) -> Tensor:
        return rows.chunk(self.size)[self.rank]
