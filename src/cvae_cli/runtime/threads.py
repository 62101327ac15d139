"""Work on many items in threads: results in the order of the items, and never many of them waiting."""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import closing
from typing import TypeVar

import torch

from cvae_cli.errors import CvaeError

Item = TypeVar("Item")
Result = TypeVar("Result")

_AHEAD = 2  # items of each thread that are begun, or done and not taken yet


def map_in_order(
    pool: Executor, work: Callable[[Item], Result], items: Iterable[Item], *, pending: int
) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, computed by the workers of a pool, in the order of the items.

    Args:
        pending: how many items may be begun, or done and waiting for the ones before, at most.

    Raises:
        CvaeError: `items` raised it. The results of the items before come first.
    """
    failures: list[CvaeError] = []
    waiting: deque[Future[Result]] = deque()

    def until_failure() -> Iterator[Item]:
        try:
            yield from items
        except CvaeError as error:
            failures.append(error)

    for item in until_failure():
        waiting.append(pool.submit(work, item))
        while waiting and (len(waiting) >= pending or waiting[0].done()):
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()
    if failures:
        raise failures[0]


def map_on_cores(
    work: Callable[[Item], Result], items: Iterable[Item], device: torch.device
) -> Generator[Result, None, None]:
    """Yield `work(item)` for each item, in order. On a CPU each has a thread, as many at a time as torch may use.

    Computations side by side are faster than one after the other on several threads each, which wait for each other:
    most of all where other programs use the cores, too. And their results are the same to the bit however many threads
    there are, which torch does not promise of one computation on several.
    """
    if device.type != "cpu":
        yield from map(work, items)
        return
    threads = torch.get_num_threads()
    pool = ThreadPoolExecutor(threads, "cvae", initializer=torch.set_num_threads, initargs=(1,))
    try:
        with closing(map_in_order(pool, work, items, pending=_AHEAD * threads)) as results:
            yield from results
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # torch has one number of MKL's threads for the whole process
