"""Batches in an order that depends on the seed and the epoch alone, so that a run can go on from any step."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.pixels import to_float

Batch = tuple[Float[Tensor, "b c h w"], Int[Tensor, " b"]]


class Batches:
    """A data set on a device, served in batches.

    Args:
        device: where the batches are needed; the whole uint8 array is moved there once.
        flip: mirror each picture with probability 1/2 when training.
    """

    def __init__(
        self, dataset: Dataset, *, batch_size: int, device: torch.device, seed: int = 0, flip: bool = False
    ) -> None:
        self.images = torch.from_numpy(np.array(dataset.images)).to(device)  # (n, h, w, c) uint8
        self.labels = torch.from_numpy(dataset.labels).to(device)  # (n,)
        self.batch_size = min(batch_size, len(dataset))
        self.seed = seed
        self.flip = flip

    def __len__(self) -> int:
        """Batches in an epoch; in training what does not fill a batch is left to the next epoch."""
        return len(self.images) // self.batch_size

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The shuffled training batches of an epoch, from batch `start` on."""
        random = np.random.default_rng([self.seed, epoch])
        order = torch.from_numpy(random.permutation(len(self.images))).to(self.images.device)
        mirrored = torch.from_numpy(random.random(len(self.images)) < 0.5).to(self.images.device)
        for index in range(start, len(self)):
            chosen = order[index * self.batch_size : (index + 1) * self.batch_size]
            images = to_float(self.images[chosen])
            if self.flip:
                images = torch.where(mirrored[chosen].view(-1, 1, 1, 1), images.flip(3), images)
            yield images, self.labels[chosen]

    def in_order(self) -> Iterator[Batch]:
        """Every picture once, in the data set's order."""
        for start in range(0, len(self.images), self.batch_size):
            chosen = slice(start, start + self.batch_size)
            yield to_float(self.images[chosen]), self.labels[chosen]
