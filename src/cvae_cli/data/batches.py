"""Serve batches. Only the seed and the epoch determine their order, so training can resume from any step."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64, Shaped, UInt8
from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.data.windows import Windows, cut_windows, draw_windows
from cvae_cli.errors import UsageError
from cvae_cli.pictures.pixels import to_float
from cvae_cli.runtime.device import send
from cvae_cli.runtime.distributed import SINGLE, World

Batch = tuple[Float[Tensor, "b c h w"], Shaped[Tensor, "b ..."]]
"""Pictures and their conditions."""

_TRANSFER = 4096  # pictures that are copied to a GPU at a time
_MAX_MEMORY = 0.5
"""The fraction of a GPU's free memory that the pictures may occupy. Larger data sets are copied batch by batch."""


class Batches:
    """Serve the batches of a data set on a device. Pixels that are mapped from a file are read when they are needed.

    Of a data set that also has its pictures in a larger size, half of the training pictures are windows of these.

    Args:
        batch_size: pictures in a batch, over all processes; at most an epoch.
        device: where the batches are placed.
        seed: of the order of the pictures.
        flip: mirror each training picture with probability 1/2.
        passes: how many times an epoch goes through the data set.
        steps: batches in an epoch, if they are fewer than the passes give.
        world: the processes that share each training batch in equal parts. The order is the same for all of them.

    Raises:
        UsageError: the processes cannot share a batch in equal parts.
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
        steps: int | None = None,
        world: World = SINGLE,
    ) -> None:
        self.dataset = dataset
        self.device = device
        self.batch_size = min(batch_size, passes * dataset.pictures)
        self.seed = seed
        self.flip = flip
        self.passes = passes
        self.steps = steps
        self.world = world
        if self.batch_size % world.size:
            raise UsageError(
                f"a batch of {self.batch_size} cannot be divided among {world.size} processes",
                hint=f"for example:  --batch-size {max(1, self.batch_size // world.size) * world.size}",
            )
        self._on_device = _copy_pixels(dataset, device)
        self._larger_on_device = _copy_pixels(dataset.larger, device) if dataset.larger is not None else None

    def __len__(self) -> int:
        """Return the number of training batches in an epoch. Pictures that do not fill a batch are not used in it."""
        batches = self.passes * self.dataset.pictures // self.batch_size
        return min(batches, self.steps or batches)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the shuffled training batches of an epoch, beginning with batch `start`.

        Each epoch draws at random which caption of a picture it uses.
        """
        random = np.random.default_rng([self.seed, epoch])
        order = np.concatenate([random.permutation(len(self.dataset)) for _ in range(self.passes)])
        mirrored = random.random(len(order)) < 0.5
        uniform = random.random(len(order))
        windows = None
        if (larger := self.dataset.larger) is not None:
            windows = draw_windows(len(order), larger.image_shape.size, random)
        for index in range(start, len(self)):
            batch = np.arange(index * self.batch_size, (index + 1) * self.batch_size)[self.world.rows(self.batch_size)]
            chosen = order[batch]
            looks = windows and windows.take(batch)
            yield self._pictures(chosen, mirrored[batch] & self.flip, looks), self._conditions(chosen, uniform[batch])

    def in_order(self, part: slice = slice(None)) -> Iterator[Batch]:
        """Yield each picture of a part of the data set once, in order, with its first caption."""
        rows = range(*part.indices(len(self.dataset)))
        for start in range(0, len(rows), self.batch_size):
            chosen = np.array(rows[start : start + self.batch_size])
            yield self._pictures(chosen, np.zeros(len(chosen), bool)), self._conditions(chosen, None)

    def _conditions(
        self, chosen: Int64[np.ndarray, " b"], uniform: Float64[np.ndarray, " b"] | None
    ) -> Shaped[Tensor, "b ..."]:
        return send(torch.from_numpy(self.dataset.conditions.values(chosen, uniform)), self.device)

    def _pictures(
        self, chosen: Int64[np.ndarray, " b"], mirrored: Bool[np.ndarray, " b"], windows: Windows | None = None
    ) -> Float[Tensor, "b c h w"]:
        images = to_float(self._pixels(self.dataset, self._on_device, chosen))
        if windows is not None:
            images = self._with_windows(images, chosen, windows)
        return mirror(images, mirrored)

    def _with_windows(
        self, images: Float[Tensor, "b c h w"], chosen: Int64[np.ndarray, " b"], windows: Windows
    ) -> Float[Tensor, "b c h w"]:
        """Replace pictures by windows of the larger ones."""
        assert self.dataset.larger is not None
        for side in np.unique(windows.side[windows.side > 0]).tolist():
            rows = np.flatnonzero(windows.side == side)
            larger = self._pixels(self.dataset.larger, self._larger_on_device, chosen[rows])
            cut = cut_windows(larger, windows.take(rows), side, images.shape[-1])
            images[send(torch.from_numpy(rows), self.device)] = cut
        return images

    def _pixels(
        self, dataset: Dataset, on_device: Tensor | None, chosen: Int64[np.ndarray, " b"]
    ) -> UInt8[Tensor, "b h w c"]:
        if on_device is not None:
            return on_device[send(torch.from_numpy(chosen), self.device)]
        return send(torch.from_numpy(dataset.read(chosen)), self.device)


def mirror(images: Float[Tensor, "b c h w"], mirrored: Bool[np.ndarray, " b"]) -> Float[Tensor, "b c h w"]:
    """Mirror the chosen pictures."""
    if not mirrored.any():
        return images
    chosen = send(torch.from_numpy(mirrored), images.device).view(-1, 1, 1, 1)
    return torch.where(chosen, images.flip(3), images)


def _copy_pixels(dataset: Dataset, device: torch.device) -> UInt8[Tensor, "n h w c"] | None:
    """Copy all pictures to the device, if they fit."""
    if not _fits(dataset, device):
        return None
    pixels = torch.empty(len(dataset), *dataset.pixels.shape[1:], dtype=torch.uint8, device=device)
    for start in range(0, len(dataset), _TRANSFER):
        chosen = np.arange(start, min(start + _TRANSFER, len(dataset)))
        pixels[start : start + _TRANSFER] = torch.from_numpy(dataset.read(chosen))
    return pixels


def _fits(dataset: Dataset, device: torch.device) -> bool:
    """Return whether to keep all pictures on the device: on a GPU, when they fit. A CPU needs no copy."""
    if device.type != "cuda":
        return False
    return dataset.pixels[:1].nbytes * len(dataset) < _MAX_MEMORY * torch.cuda.mem_get_info(device)[0]
