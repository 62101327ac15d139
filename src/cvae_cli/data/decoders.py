"""A pool of processes that decode pictures, and answer with bytes; `process` says how each is started.

This module imports neither torch nor pydantic, so that the processes start quickly.
"""

import os
import queue
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pkgutil import resolve_name
from typing import Any

from cvae_cli.data.process import MEMORY_HINT, Answer, EndedError, Process
from cvae_cli.errors import CvaeError

Request = list[Any]
"""The arguments of the work, which JSON can say."""


def answer_all(
    work: Callable[..., Answer], requests: Sequence[Request], *, in_processes: bool
) -> Generator[Answer, None, None]:
    """Yield `work(*request)` for each request, in order.

    Args:
        work: a function of a module that imports little.
        in_processes: use a process for each core, instead of this one.

    Raises:
        CvaeError: a process has ended unexpectedly.
    """
    if not in_processes or not sys.executable:
        for request in requests:
            yield work(*request)
        return
    name = f"{work.__module__}:{work.__qualname__}"
    with _Decoders(min(_cores(), len(requests))) as decoders:
        ahead: deque[Future[Answer]] = deque()
        for request in requests:
            ahead.append(decoders.submit(name, request))
            if len(ahead) > 2 * decoders.n:  # keeps all processes busy and bounds the memory
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def work_on(asked: tuple[str, Request]) -> Iterator[Answer]:
    """Do the work of a name; this runs in a process of the pool."""
    name, request = asked
    yield resolve_name(name)(*request)


class _Decoders:
    """A pool of `n` decoding processes, with a thread for each that waits for its answers."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> "_Decoders":
        self._processes = [Process(work_on) for _ in range(self.n)]
        self._idle: queue.SimpleQueue[Process] = queue.SimpleQueue()
        for process in self._processes:
            self._idle.put(process)
        self._threads = ThreadPoolExecutor(self.n)
        return self

    def __exit__(self, *exception: Any) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        for process in self._processes:
            process.end()  # a thread that still waits for an answer gets an error and ends
        self._threads.shutdown()

    def submit(self, name: str, request: Request) -> "Future[Answer]":
        """Give the work of this name to the next idle process."""
        return self._threads.submit(self._answer, name, request)

    def _answer(self, name: str, request: Request) -> Answer:
        process = self._idle.get()
        try:
            process.ask((name, request))
            return process.read()
        except EndedError as error:
            raise CvaeError(
                f"a process that decodes pictures has ended (status {error.status}) {_where(request)}",
                hint=MEMORY_HINT,
            ) from error
        finally:
            self._idle.put(process)


def _where(request: Request) -> str:
    """At which pictures: each kind of work is given a list of their names, or of lists that begin with a name."""
    pictures = next(part for part in request if isinstance(part, list))
    first, last = (each if isinstance(each, str) else each[0] for each in (pictures[0], pictures[-1]))
    return f"between {first} and {last}"


def _cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
