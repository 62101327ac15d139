"""A lane of a stream: a process that reads its shards, shuffles through WebDataset, and decodes batch by batch.

The order of the pictures depends on the request alone, so a lane that starts at a later step, and skips the pictures
before it without decoding them, continues to the bit. This module imports neither torch nor pydantic, so that the
processes start quickly.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count, islice
from random import Random
from typing import Any

from cvae_cli.data.process import Answer
from cvae_cli.data.shard_reader import Picture, Report, read_shard
from cvae_cli.data.shard_samples import is_for_tests
from cvae_cli.errors import CorruptError, CvaeError
from cvae_cli.pictures.opening import open_content


@dataclass(frozen=True)
class Lane:
    """What one lane reads in an epoch.

    Attributes:
        shards: the address and the name of each shard of the stream.
        has_classes: whether pictures have classes instead of captions.
        divided: whether a tenth of each shard is for tests.
        validated: how many of the shards have another tenth for validation.
        quota: the pictures to be used of the last shard; None for all.
        each: the pictures that a shard has.
        lane, lanes: which part of the stream this is.
        seed, epoch: determine the order.
        buffer: pictures in the shuffle buffer.
        size: pixels a side.
        rows: pictures of a step.
        start, steps: the first step that is wanted, and the number of all.
    """

    shards: list[list[str]]
    has_classes: bool
    divided: bool
    validated: int
    quota: int | None
    each: int
    lane: int
    lanes: int
    seed: int
    epoch: int
    buffer: int
    size: int
    rows: int
    start: int
    steps: int

    def run(self) -> Iterator[tuple[dict[str, Any], bytes]]:
        """Yield for each step what is told about its pictures, and their pixels."""
        lost: list[tuple[str, str, int]] = []
        shuffled = self._endless(lambda *each: lost.append(each))
        for _ in islice(shuffled, self.start * self.rows):
            pass
        for _ in range(self.start, self.steps):
            pictures, content = self._decode(list(islice(shuffled, self.rows)), lost)
            yield {"texts": [each.texts for each in pictures], "lost": lost}, content
            lost.clear()

    def _random(self, purpose: str) -> Random:
        return Random(f"{self.seed} {self.epoch} {purpose}")  # noqa: S311 (an order is no secret)

    def _endless(self, report: Report) -> Iterator[Picture]:
        """Yield the pictures of this lane, pass after pass, each of them once in a pass."""
        from webdataset.filters import shuffle

        for number in count():
            random = self._random(f"{number} lane {self.lane}")
            found = 0
            # the first pictures need not wait until the whole buffer is full
            initial = max(1, self.buffer // 4)
            for picture in shuffle(self.buffer, initial=initial, rng=random)(self._pass(number, report)):
                found += 1
                yield picture
            if not found:
                raise CorruptError(f"none of the shards {self.shards[0][1]} to {self.shards[-1][1]} can be read")

    def _pass(self, number: int, report: Report) -> Iterator[Picture]:
        """Yield the pictures of this lane once, in the order of the shards, which is another one in each pass."""
        n = len(self.shards)
        order = list(range(n))
        self._random(f"{number}").shuffle(order)
        # with few shards, each lane reads all of them and takes every so manieth picture
        takes_shards = n % self.lanes == 0 or n >= 8 * self.lanes
        for shard in order[self.lane :: self.lanes] if takes_shards else order:
            pictures = self._training_pictures(shard, report)
            yield from pictures if takes_shards else islice(pictures, self.lane, None, self.lanes)

    def _training_pictures(self, shard: int, report: Report) -> Iterator[Picture]:
        """Yield the pictures of a shard that are neither for tests nor for validation."""
        address, name = self.shards[shard]
        file = name.rpartition("/")[2]
        pictures = (
            picture
            for picture in read_shard(address, name, self.each, self.has_classes, report)
            if not (self.divided and is_for_tests(file, picture.number))
            and not (shard < self.validated and is_for_tests(file, picture.number, offset=1))
        )
        yield from islice(pictures, self.quota if shard == len(self.shards) - 1 else None)

    def _decode(self, pictures: list[Picture], lost: list[tuple[str, str, int]]) -> tuple[list[Picture], bytes]:
        """Decode the pictures of a step. In the place of one that cannot be read comes the one before, or after."""
        decoded: list[bytes | None] = []
        for picture in pictures:
            try:
                decoded.append(open_content(picture.content, picture.name, size=self.size, channels=3).tobytes())
            except CvaeError:
                decoded.append(None)
                lost.append((picture.name, "damaged", 1))
        last = next((row for row, content in enumerate(decoded) if content is not None), None)
        if last is None:
            raise CorruptError(f"{pictures[0].name} and all pictures of a batch with it are damaged")
        rows = [last := row if content is not None else last for row, content in enumerate(decoded)]
        return [pictures[row] for row in rows], b"".join(decoded[row] or b"" for row in rows)


def read_lane(asked: dict[str, Any]) -> Iterator[Answer]:
    """Run a lane in its process, and yield the answers to a request."""
    sys.modules["torch"] = None  # type: ignore[assignment]  # WebDataset imports it if it can, which takes seconds
    try:
        for told, content in Lane(**asked).run():
            yield content, told
    except CvaeError as error:
        yield b"", {"error": error.message}
