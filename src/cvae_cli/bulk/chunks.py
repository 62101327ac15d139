"""Divide the pictures of a job into chunks, and the chunks among processes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cvae_cli.runtime.distributed import World
from cvae_cli.text.prompts import Prompt, Prompts


@dataclass(frozen=True)
class Chunk:
    """Consecutive pictures of a job, and their prompts.

    Attributes:
        index: the number of the chunk among those of this call, from 0.
        pictures: the numbers of the pictures in the job, from 0.
        prompts: the prompts of these pictures, from that of the first picture to that of the last.
    """

    index: int
    pictures: range
    prompts: Sequence[Prompt]


def split_chunks(prompts: Prompts, pictures: range, *, n: int, size: int, world: World) -> Iterator[Chunk]:
    """Yield the chunks of this process. Each round has one chunk for every process; the last one may be empty.

    Prompts are read as they are needed, so that only those of one chunk are in memory.

    Args:
        pictures: the numbers of all pictures to generate; at least one.
        n: pictures per prompt.
        size: pictures per chunk.
    """
    rounds = math.ceil(len(pictures) / (size * world.size))
    stream = enumerate(prompts)
    row, prompt = next(stream)
    for index in range(world.rank, rounds * world.size, world.size):
        numbers = pictures[index * size : (index + 1) * size]
        chosen = []
        if numbers:
            while row < numbers[0] // n:
                row, prompt = next(stream)
            chosen.append(prompt)
            while row < numbers[-1] // n:
                row, prompt = next(stream)
                chosen.append(prompt)
        yield Chunk(index, numbers, chosen)
