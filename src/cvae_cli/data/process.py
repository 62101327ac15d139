"""A process of this package that answers requests through pipes, and both ends of its protocol.

It is started with `subprocess`, not `multiprocessing`, which would run the user's script again. So a script without a
main guard, or a notebook, can load a data set. It ends when its pipe is closed, so with this process, however this one
ends.

A request is a line of JSON. An answer is a line of JSON, which says how many bytes follow, and these bytes.

This module imports neither torch nor pydantic, so that the processes start quickly.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

Answer = tuple[bytes, Any]
"""Some bytes, and what is told about them, which JSON can say."""

_START = (
    "import sys; sys.path.append(sys.argv[1]); from pkgutil import resolve_name as find; "
    "from cvae_cli.data.process import serve; serve(find(sys.argv[2]), int(sys.argv[3]))"
)
_PIPE = 1 << 20  # bytes
_SET_PIPE_SIZE = 1031  # of Linux

MEMORY_HINT = "the memory may not have been enough: end other programs, then run the command again"


class EndedError(Exception):
    """The process has ended; `status` is its exit status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


class Process:
    """A process that runs `work` for each request.

    Args:
        work: a function of a module that imports little; its result is iterated over, an answer at a time.
        ahead: answers that may be ready before they are read, besides the one that is being written.
    """

    def __init__(self, work: Callable[[Any], Iterable[Answer]], *, ahead: int = 1) -> None:
        package, name = Path(__file__).parents[2], f"{work.__module__}:{work.__qualname__}"
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(package), name, str(ahead)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # Pillow's libraries print warnings about damaged files
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        if sys.platform == "linux":
            import fcntl

            with contextlib.suppress(OSError):  # more than the system allows
                fcntl.fcntl(self._answers, _SET_PIPE_SIZE, _PIPE)

    def ask(self, request: Any) -> None:
        """Send a request."""
        with contextlib.suppress(BrokenPipeError):  # noticed when the answer is read
            self._requests.write(json.dumps(request).encode() + b"\n")
            self._requests.flush()

    def read(self, into: memoryview | None = None) -> Answer:
        """Read an answer.

        Args:
            into: where its bytes are read to, if it is known how many there are; then none are returned.

        Raises:
            EndedError: the process has ended.
        """
        try:
            head = json.loads(self._answers.readline())
            n: int = head["bytes"]
            if into is None:
                content = self._answers.read(n)
                is_whole = len(content) == n
            else:
                content = b""
                is_whole = self._answers.readinto(into[:n]) == n  # type: ignore[attr-defined]
        except (OSError, ValueError) as error:  # the end of the pipe, or a pipe that `end` has closed
            raise EndedError(self._process.wait()) from error
        if not is_whole:
            raise EndedError(self._process.wait())
        return content, head["told"]

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(OSError):  # a request that was not read
                pipe.close()


def serve(work: Callable[[Any], Iterable[Answer]], ahead: int) -> None:
    """Answer requests until there are no more. This runs in the process.

    A thread writes the answers, so that the work goes on while the process that asked is busy.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that sends the requests
    ready: queue.Queue[tuple[bytes, bytes]] = queue.Queue(ahead)
    threading.Thread(target=_write, args=(ready,), daemon=True).start()
    status = 1
    try:
        for line in sys.stdin.buffer:
            for content, told in work(json.loads(line)):
                ready.put((content, json.dumps({"bytes": len(content), "told": told}).encode() + b"\n"))
        status = 0
    finally:
        os._exit(status)  # without waiting for the thread


def _write(ready: "queue.Queue[tuple[bytes, bytes]]") -> None:
    """Write answers until the process that asked has ended."""
    answers = sys.stdout.buffer
    try:
        while True:
            content, head = ready.get()
            answers.write(head)
            answers.write(content)
            answers.flush()
    finally:
        os._exit(0)
