"""Serve the batches of a stream. Only the seed, the epoch and the number of lanes determine their order."""

import weakref
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8

from cvae_cli.data.batches import Batch, Batches, mirror
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.losses import Losses
from cvae_cli.data.stream import LaneProcess, Stream
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.pictures.pixels import to_float
from cvae_cli.runtime.device import send
from cvae_cli.runtime.distributed import World

_MAX_TOLD = 3  # losses that are told when they happen; the others are counted at the end of an epoch


class StreamBatches(Batches):
    """Batches of a stream: as `Batches`, but each epoch reads the shards anew, in another order.

    Each lane of the stream contributes the same rows to each batch, and each process reads its own lanes.

    Args:
        dataset: has a stream.
        settings: those of `Batches`.
        callback: receives notices about what cannot be read.
    """

    def __init__(self, dataset: Dataset, *, callback: Callback = ignore, **settings: Any) -> None:
        super().__init__(dataset, **settings)
        assert dataset.stream is not None
        self.stream: Stream = dataset.stream
        self.callback = callback
        self.losses = Losses(self.stream.name, self.stream.each * len(self.stream.shards))
        self._told = 0
        self._processes: list[LaneProcess] = []
        weakref.finalize(self, _end, self._processes)

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """Yield the training batches of an epoch, beginning with batch `start`.

        Raises:
            MissingError, CorruptError: more than 1% of the pictures cannot be read.
        """
        lanes = self.stream.lanes(self.batch_size, self.world.size)
        mine = range(lanes)[self.world.rows(lanes)]
        rows = [len(range(self.batch_size)[World(lane, lanes).rows(self.batch_size)]) for lane in mine]
        if not self._processes:
            self._processes += [LaneProcess() for _ in mine]
        for process, lane, n in zip(self._processes, mine, rows, strict=True):
            asked = {"seed": self.seed, "epoch": epoch, "start": start, "steps": len(self)}
            process.ask(self.stream.request(lane, lanes, n, **asked))
        is_read = False
        try:
            for step in range(start, len(self)):
                yield self._batch(*self._read(rows), epoch, step)
            is_read = True
        finally:
            if not is_read:  # the lanes would go on with the rest of this epoch
                _end(self._processes)
        self._agree()

    def _batch(self, pixels: UInt8[np.ndarray, "b h w 3"], texts: list[list[str]], epoch: int, step: int) -> Batch:
        random = np.random.default_rng([self.seed, epoch, step])
        mine = self.world.rows(self.batch_size)
        mirrored = (random.random(self.batch_size) < 0.5)[mine]
        uniform = random.random(self.batch_size)[mine]
        images = to_float(send(torch.from_numpy(pixels), self.device))
        assert self.stream.values is not None
        condition = torch.from_numpy(self.stream.values(texts, uniform))
        return mirror(images, mirrored & self.flip), send(condition, self.device)

    def _read(self, rows: list[int]) -> tuple[UInt8[np.ndarray, "b h w 3"], list[list[str]]]:
        """Read this process's part of the next batch."""
        size = self.stream.size
        pixels = np.empty((sum(rows), size, size, 3), np.uint8)
        texts: list[list[str]] = []
        for process, n in zip(self._processes, rows, strict=True):
            told = process.read(pixels[len(texts) : len(texts) + n])
            texts += told["texts"]
            for name, problem, pictures in told["lost"]:
                self._lose(name, problem, pictures)
        return pixels, texts

    def _lose(self, name: str, problem: str, pictures: int) -> None:
        """Count what cannot be read, and say so unless much was said already."""
        is_new = self.losses.add(name, problem, pictures)
        self.losses.check()
        if is_new and self._told < _MAX_TOLD:
            self._told += 1
            self.callback(Notice(f"{self.losses.source}: {name} is {problem}; {pictures:,} pictures are left out"))

    def _agree(self) -> None:
        """Add up what all processes cannot read, at the end of an epoch."""
        before = len(self.losses.found)
        for found in self.world.all_gather(dict(self.losses.found)):
            for name, (problem, pictures) in found.items():
                self.losses.add(name, problem, pictures)
        self.losses.check()
        if len(self.losses.found) > max(before if self.world.size > 1 else 0, self._told):
            self._told = len(self.losses.found)
            self.callback(Notice(f"{self.losses.source}: {self.losses.describe()}; they are left out"))


def _end(processes: list[LaneProcess]) -> None:
    for process in processes:
        process.end()
    processes.clear()
