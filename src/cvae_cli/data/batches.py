"""Batches in an order that depends on the seed and the epoch alone, so that a run can go on from any step."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.pictures.pixels import to_float
from cvae_cli.runtime.distributed import SINGLE, World

Batch = tuple[Tensor, Tensor]
"""Pictures, float `(b, c, h, w)`, and their conditions, a row a picture."""

_TOGETHER = 4096  # pictures that are sent to a GPU at a time
_RESIDENT = 0.5
"""Of a GPU's free memory, how much the pictures may take to be kept there; beyond it batches are sent one by one."""


class Batches:
    """A data set served in batches on a device. Pictures that are mapped from a file stay there until they are needed.

    Args:
        flip: mirror each picture with probability 1/2 when training.
        passes: how often an epoch goes through the data set.
        world: the processes that share each batch of an epoch, in equal parts; the order is the same for all.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        batch_size: int,
        device: torch.device,
        seed: int = 0,
        flip: bool = False,
        passes: int = 1,
        world: World = SINGLE,
    ) -> None:
        self.dataset = dataset
        self.device = device
        self.batch_size = min(batch_size, passes * len(dataset))
        self.seed = seed
        self.flip = flip
        self.passes = passes
        self.world = world
        if self.batch_size % world.size:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be divided among {world.size} processes",
                hint=f"for example  --batch-size {max(1, self.batch_size // world.size) * world.size}",
            )
        self._resident = _brought(dataset, device) if _fits(dataset, device) else None

    def __len__(self) -> int:
        """Batches in an epoch; in training what does not fill a batch is left to the next epoch."""
        return self.passes * len(self.dataset) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The shuffled training batches of an epoch, from batch `start` on. Which of a picture's captions goes with
        it is drawn anew in each."""
        random = np.random.default_rng([self.seed, epoch])
        order = np.concatenate([random.permutation(len(self.dataset)) for _ in range(self.passes)])
        mirrored = random.random(len(order)) < 0.5
        chance = random.random(len(order))
        for index in range(start, len(self)):
            batch = np.arange(index * self.batch_size, (index + 1) * self.batch_size)[self.world.rows(self.batch_size)]
            chosen = order[batch]
            yield self._pictures(chosen, mirrored[batch] & self.flip), self._conditions(chosen, chance[batch])

    def in_order(self, part: slice = slice(None)) -> Iterator[Batch]:
        """Every picture of a part of the data set once, in its order, with its first caption."""
        rows = range(*part.indices(len(self.dataset)))
        for start in range(0, len(rows), self.batch_size):
            chosen = np.array(rows[start : start + self.batch_size])
            yield self._pictures(chosen, np.zeros(len(chosen), bool)), self._conditions(chosen, None)

    def _conditions(self, chosen: NDArray[np.int64], chance: NDArray[np.float64] | None) -> Tensor:
        return torch.from_numpy(self.dataset.conditions.values(chosen, chance)).to(self.device)

    def _pictures(self, chosen: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        if self._resident is not None:
            pixels = self._resident[torch.from_numpy(chosen).to(self.device)]  # (b, h, w, c) uint8
        else:
            pixels = torch.from_numpy(self.dataset.pixels[self.dataset.rows[chosen]]).to(self.device)
        images = to_float(pixels)
        if not mirrored.any():
            return images
        mirror = torch.from_numpy(mirrored).to(self.device).view(-1, 1, 1, 1)
        return torch.where(mirror, images.flip(3), images)


def _brought(dataset: Dataset, device: torch.device) -> Tensor:
    """All pictures on the device, uint8 `(n, h, w, c)`, some at a time."""
    pixels = torch.empty(len(dataset), *dataset.pixels.shape[1:], dtype=torch.uint8, device=device)
    for start in range(0, len(dataset), _TOGETHER):
        pixels[start : start + _TOGETHER] = torch.from_numpy(dataset.pixels[dataset.rows[start : start + _TOGETHER]])
    return pixels


def _fits(dataset: Dataset, device: torch.device) -> bool:
    """Whether the pictures are better kept on the device: on a GPU, as far as they fit; a CPU has them already."""
    if device.type != "cuda":
        return False
    return dataset.pixels[:1].nbytes * len(dataset) < _RESIDENT * torch.cuda.mem_get_info(device)[0]
