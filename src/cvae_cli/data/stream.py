"""A stream: the pictures of shards that are read while a training goes on, instead of being prepared in the cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float64, Shaped, UInt8

from cvae_cli.data.lane import read_lane
from cvae_cli.data.process import MEMORY_HINT, EndedError, Process
from cvae_cli.errors import CorruptError, CvaeError

Values = Callable[[Sequence[Sequence[str]], Float64[np.ndarray, " b"]], Shaped[np.ndarray, "b ..."]]
"""Turns the captions or the class of each picture, and random numbers that choose a caption, into conditions."""

_AHEAD = 4  # steps that a lane may have ready, so that none waits for the slowest one


@dataclass(frozen=True, kw_only=True)
class Stream:
    """The training pictures of shards; `lane.Lane` describes what the attributes mean for a lane.

    Attributes:
        name: of the data set, for messages.
        shards: the address and the name of each shard.
        each: the pictures in the first shard that is whole; the others are taken to have as many.
        pictures: the training pictures of a pass, if each shard has so many.
        buffer: pictures in the shuffle buffers of all lanes.
        readers: lanes, at least; with another number the order is another one.
        values: makes conditions; absent until it is known what a model learns.
    """

    name: str
    shards: tuple[tuple[str, str], ...]
    has_classes: bool
    divided: bool
    validated: int
    quota: int | None
    each: int
    pictures: int
    size: int
    buffer: int
    readers: int
    values: Values | None = None

    def lanes(self, batch_size: int, processes: int) -> int:
        """Return the number of lanes: a multiple of the processes, so that these can share them.

        So a stream has the same order in 1, 2 and 4 processes, if it has 4 readers.
        """
        return processes * max(1, min(self.readers // processes, batch_size // processes))

    def request(
        self, lane: int, lanes: int, rows: int, *, seed: int, epoch: int, start: int, steps: int
    ) -> dict[str, Any]:
        """Return what a lane is asked for: the attributes of a `Lane`."""
        return {
            "shards": self.shards,
            "has_classes": self.has_classes,
            "divided": self.divided,
            "validated": self.validated,
            "quota": self.quota,
            "each": self.each,
            "lane": lane,
            "lanes": lanes,
            "seed": seed,
            "epoch": epoch,
            "buffer": max(1, self.buffer // lanes),
            "size": self.size,
            "rows": rows,
            "start": start,
            "steps": steps,
        }


class LaneProcess:
    """The process of a lane."""

    def __init__(self) -> None:
        self._process = Process(read_lane, ahead=_AHEAD)

    def ask(self, request: dict[str, Any]) -> None:
        """Begin an epoch."""
        self._process.ask(request)

    def read(self, pixels: UInt8[np.ndarray, "b h w 3"]) -> dict[str, Any]:
        """Read the pictures of the next step into `pixels`, and return what is told about them.

        Raises:
            CorruptError: no pictures can be read.
            CvaeError: the process has ended unexpectedly.
        """
        try:
            _, told = self._process.read(pixels.data.cast("B"))
        except EndedError as error:
            raise CvaeError(
                f"a process that reads shards has ended (status {error.status})",
                hint=MEMORY_HINT,
            ) from error
        if "error" in told:
            raise CorruptError(told["error"])
        return cast("dict[str, Any]", told)

    def end(self) -> None:
        """Kill the process."""
        self._process.end()
