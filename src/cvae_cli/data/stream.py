"""A stream: the pictures of shards that are read while a training goes on, instead of being prepared in the cache."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Shaped, UInt8

from cvae_cli.errors import CorruptError, CvaeError

Values = Callable[[Sequence[Sequence[str]], Float64[np.ndarray, " b"]], Shaped[np.ndarray, "b ..."]]
"""Turns the captions or the class of each picture, and random numbers that choose a caption, into conditions."""

_START = "import sys; sys.path.append(sys.argv[1]); from cvae_cli.data.lane import serve; serve()"
_PIPE = 1 << 20  # bytes that a lane may be ahead, besides the step it is working on
_SET_PIPE_SIZE = 1031  # of Linux


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

    def request(self, lane: int, lanes: int, rows: int, *, seed: int, epoch: int, start: int, steps: int) -> bytes:
        """Return what a lane is asked for, as a line of JSON."""
        asked = {
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
        return json.dumps(asked).encode() + b"\n"


class LaneProcess:
    """The process of a lane. It ends when its pipe is closed, so also with this process, however this one ends."""

    def __init__(self) -> None:
        package = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(package)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Pillow's libraries print warnings about damaged files
        )
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # more than the system allows
                fcntl.fcntl(self._answers, _SET_PIPE_SIZE, _PIPE)

    @property
    def _answers(self) -> Any:
        return self._process.stdout

    def ask(self, request: bytes) -> None:
        """Begin an epoch."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # noticed when the answer is read
            self._process.stdin.write(request)
            self._process.stdin.flush()

    def read(self, pixels: UInt8[np.ndarray, "b h w 3"]) -> dict[str, Any]:
        """Read the pictures of the next step into `pixels`, and return what is told about them.

        Raises:
            CorruptError: no pictures can be read.
            CvaeError: the process has ended unexpectedly.
        """
        line = self._answers.readline()
        told: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {}
        if "error" in told:
            raise CorruptError(told["error"])
        content = pixels.data.cast("B")
        if not told or self._answers.readinto(content) < len(content):
            raise CvaeError(
                f"a process that reads shards has ended (status {self._process.wait()})",
                hint="was there enough memory?",
            )
        return told

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a request that was not read
                pipe.close()
