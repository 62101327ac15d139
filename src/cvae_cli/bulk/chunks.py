"""Divide the pictures of a job into chunks, and the chunks among processes."""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from cvae_cli.bulk.manifest import Gap
from cvae_cli.runtime.distributed import World
from cvae_cli.text.prompts import Prompt, Prompts


@dataclass(frozen=True)
class Part:
    """Consecutive pictures of a job that one process generates.

    Attributes:
        line: the number of the entry of their first file in the manifest.
        pictures: their numbers in the job, from 0.
    """

    line: int
    pictures: range


@dataclass(frozen=True)
class Chunk(Part):
    """A part with its prompts.

    Attributes:
        prompts: the prompts of these pictures, from that of the first picture to that of the last.
    """

    prompts: Sequence[Prompt]


def cut(gaps: Iterable[Gap], *, size: int, sharded: bool) -> list[Part]:
    """Cut rows of pictures into parts of at most `size` pictures: a shard each, or files of one picture."""
    return [
        Part(gap.lines.start + (start // size if sharded else start), gap.pictures[start : start + size])
        for gap in gaps
        for start in range(0, len(gap.pictures), size)
    ]


def split_chunks(prompts: Prompts, parts: Sequence[Part], *, n: int, world: World) -> Iterator[Chunk]:
    """Yield the chunks of this process. Each round has one chunk for every process; the last one may be empty.

    Prompts are read as they are needed, so that only those of one chunk are in memory.

    Args:
        parts: all parts, in order; at least one.
        n: pictures per prompt.
    """
    rounds = math.ceil(len(parts) / world.size)
    stream = enumerate(prompts)
    row, prompt = next(stream)
    for index in range(world.rank, rounds * world.size, world.size):
        part = parts[index] if index < len(parts) else Part(0, range(0))
        chosen = []
        if numbers := part.pictures:
            while row < numbers[0] // n:
                row, prompt = next(stream)
            chosen.append(prompt)
            while row < numbers[-1] // n:
                row, prompt = next(stream)
                chosen.append(prompt)
        yield Chunk(part.line, numbers, chosen)
