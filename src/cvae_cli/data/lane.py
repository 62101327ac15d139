"""A lane of a stream: a process that reads its shards through WebDataset, shuffles, and decodes batch by batch.

The order of the pictures depends on the request alone, so a lane that starts at a later step, and skips the pictures
before it without decoding them, continues to the bit. This module imports neither torch nor pydantic, so that the
processes start quickly.
"""

import io
import json
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import count, islice
from random import Random
from typing import Any, BinaryIO, NamedTuple

from cvae_cli.data.addresses import open_place
from cvae_cli.data.shard_samples import MISSING, captions_of, is_for_tests, label_of
from cvae_cli.errors import CorruptError, CvaeError
from cvae_cli.pictures.kinds import is_picture
from cvae_cli.pictures.opening import open_content

_BLOCK = 512  # bytes: the unit of a tar file, which ends with blocks of zeros
_BUFFER = 1 << 20  # bytes that are read at a time
_LOOKED_AT = 1 << 16  # bytes after the end of a tar file, in which more files would show that it is damaged

Report = Callable[[str, str, int], None]
"""Takes the name of a shard or a picture that cannot be read, the problem, and how many pictures are lost."""


class Picture(NamedTuple):
    """A picture as it is in a shard.

    Attributes:
        name: its shard and its file.
        number: of the pictures before it in the shard.
        content: the bytes of its file.
        texts: its captions, or its class.
    """

    name: str
    number: int
    content: bytes
    texts: list[str]


def read_shard(address: str, name: str, each: int, has_classes: bool, report: Report) -> Iterator[Picture]:
    """Yield the pictures of a shard that have a caption or a class, through WebDataset.

    Args:
        name: of the shard, for messages.
        each: the pictures that a shard has, by which those that are lost are counted.
    """
    from webdataset.tariterators import group_by_keys, tar_file_expander

    problems: list[str] = []

    def note(error: Exception) -> bool:
        problems.append("damaged")
        return True

    try:
        file = open_place(address)
    except FileNotFoundError:
        return report(name, MISSING, max(1, each))
    except Exception as error:  # the libraries of servers have errors of their own
        return report(name, f"cannot be opened: {error}", max(1, each))
    found = 0
    with file:
        watched = _Watched(file)
        files = tar_file_expander(iter([{"url": name, "stream": watched}]), handler=note)
        for parts in group_by_keys(files, handler=lambda error: True):  # of files with one name, the first counts
            ending = next((each for each in parts if is_picture(f".{each}")), None)
            texts = _texts(parts, has_classes)
            if ending is not None:
                found += 1
                if texts:
                    yield Picture(f"{name}/{parts['__key__']}.{ending}", found - 1, parts[ending], texts)
        if problems or not watched.is_complete():
            report(name, "damaged", max(1, each - found))
    return None


def _texts(parts: Mapping[str, Any], has_classes: bool) -> list[str]:
    told = {ending: content for ending, content in parts.items() if not ending.startswith("__")}
    if not has_classes:
        return captions_of(told)
    label = label_of(told)
    return [] if label is None else [label]


class _Watched:
    """A tar file that is given to tarfile block by block, so that it is known which one ends the reading.

    tarfile takes damage after the first member for the end.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = io.BufferedReader(file, _BUFFER)  # type: ignore[type-var]  # fsspec's files have what it needs
        self._last = b""

    def read(self, n: int) -> bytes:
        self._last = self._file.read(_BLOCK)
        return self._last

    def is_complete(self) -> bool:
        """Whether what was read ends as a tar file does, and nothing follows."""
        return self._last == bytes(_BLOCK) and not self._file.read(_LOOKED_AT).strip(b"\0")


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
        sound = [row for row, content in enumerate(decoded) if content is not None]
        if not sound:
            raise CorruptError(f"{pictures[0].name} and all pictures of a batch with it are damaged")
        rows = [max((each for each in sound if each <= row), default=sound[0]) for row in range(len(pictures))]
        return [pictures[row] for row in rows], b"".join(decoded[row] or b"" for row in rows)


def serve() -> None:
    """Run a reading process: answer each request, a line of JSON, with a line of JSON and the pixels of each step."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that asks
    sys.modules["torch"] = None  # type: ignore[assignment]  # WebDataset imports it if it can, which takes seconds
    try:
        for line in sys.stdin.buffer:
            _answer(Lane(**json.loads(line)).run())
    except BrokenPipeError:
        os._exit(0)  # the process that asked has ended


def _answer(steps: Iterable[tuple[dict[str, Any], bytes]]) -> None:
    try:
        for told, content in steps:
            sys.stdout.buffer.write(json.dumps(told).encode() + b"\n")
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
    except CvaeError as error:
        sys.stdout.buffer.write(json.dumps({"error": error.message}).encode() + b"\n")
        sys.stdout.buffer.flush()
