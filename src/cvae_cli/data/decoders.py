"""Processes that decode pictures, and answer with bytes.

They are started with `subprocess`, not `multiprocessing`, which would run the user's script again in each of them. So a
script without a main guard, or a notebook, can load a data set. Each process reads its requests from a pipe and ends
when the pipe is closed, so it ends with this process, however this process ends.

This module imports neither torch nor pydantic, so that the processes start quickly.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

from cvae_cli.errors import CvaeError

Answer = tuple[bytes, Any]
"""The bytes of some pictures, and what is told about them, which JSON can say."""
Request = list[Any]
"""The arguments of the work, which JSON can say."""

_START = "import sys; sys.path.append(sys.argv[1]); from cvae_cli.data.decoders import serve; serve()"


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


def serve() -> None:
    """Run a decoding process: answer each request, a line of JSON, with a line of JSON and the bytes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that sends the requests
    try:
        for line in sys.stdin.buffer:
            name, request = json.loads(line)
            content, told = resolve_name(name)(*request)
            sys.stdout.buffer.write(json.dumps({"bytes": len(content), "told": told}).encode() + b"\n")
            sys.stdout.buffer.write(content)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)  # the process that sent the request has ended


class _Decoders:
    """A pool of `n` decoding processes, with a thread for each that waits for its answers."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __enter__(self) -> "_Decoders":
        self._processes = [_Decoder() for _ in range(self.n)]
        self._idle: queue.SimpleQueue[_Decoder] = queue.SimpleQueue()
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
            return process.answer(name, request)
        finally:
            self._idle.put(process)


class _Decoder:
    """One decoding process."""

    def __init__(self) -> None:
        package = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(package)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Pillow's libraries print warnings about damaged files
        )

    def answer(self, name: str, request: Request) -> Answer:
        """Send a request and wait for the answer."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps([name, request]).encode() + b"\n")
            requests.flush()
            head = json.loads(answers.readline())
            content = answers.read(head["bytes"])
            if len(content) < head["bytes"]:
                raise EOFError
        except (OSError, ValueError, EOFError) as error:
            raise CvaeError(
                f"a process that decodes pictures has ended (status {self._process.wait()}) {_where(request)}",
                hint="was there enough memory?",
            ) from error
        return content, head["told"]

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a request that was not read
                pipe.close()


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
