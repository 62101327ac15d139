"""Decode picture files to bytes, in several processes.

The processes are started with `subprocess`, not `multiprocessing`, which would run the user's script again in each of
them. So a script without a main guard, or a notebook, can load a data set. Each process reads its requests from a pipe
and ends when the pipe is closed, so it ends with this process, however this process ends.

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
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

from cvae_cli.errors import CvaeError
from cvae_cli.pictures.opening import open_picture

Chunk = tuple[bytes, dict[str, str]]
"""The pixels of some pictures, one after another, and the errors of those that cannot be read, which are black."""

_MIN_PICTURES = 300  # fewer pictures are decoded faster without starting processes
_CHUNK_BYTES = 1 << 25  # of pixels, at most
_CHUNK_PICTURES = 128  # at most
_START = "import sys; sys.path.append(sys.argv[1]); from cvae_cli.data.decode import serve; serve()"


def chunk_length(size: int) -> int:
    """Return how many pictures of `size` pixels a side are decoded at a time."""
    return max(1, min(_CHUNK_PICTURES, _CHUNK_BYTES // (3 * size * size)))


def decode(root: str, files: Sequence[str], size: int) -> Chunk:
    """Decode pictures to RGB, `size` x `size`: scaled by their short side, and cropped to the centre."""
    rows = []
    broken = {}
    for file in files:
        try:
            picture, _ = open_picture(Path(root, file), size=size, channels=3, draft=True)
            rows.append(picture.tobytes())
        except CvaeError as error:
            broken[file] = error.message
            rows.append(bytes(3 * size * size))
    return b"".join(rows), broken


def decode_all(root: Path, files: Sequence[str], size: int) -> Generator[Chunk, None, None]:
    """Decode all pictures in order, in chunks of `chunk_length(size)`.

    Raises:
        CvaeError: a decoding process has ended unexpectedly.
    """
    length = chunk_length(size)
    chunks = [files[start : start + length] for start in range(0, len(files), length)]
    if len(files) < _MIN_PICTURES or not sys.executable:
        for chunk in chunks:
            yield decode(str(root), chunk, size)
        return
    with _Decoders(min(_cores(), len(chunks))) as decoders:
        ahead: deque[Future[Chunk]] = deque()
        for chunk in chunks:
            ahead.append(decoders.submit(str(root), chunk, size))
            if len(ahead) > 2 * decoders.n:  # keeps all processes busy and bounds the memory
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def serve() -> None:
    """Run a decoding process: answer each request, a line of JSON, with a line of JSON and the pixels."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is handled by the process that sends the requests
    try:
        for line in sys.stdin.buffer:
            pixels, broken = decode(*json.loads(line))
            sys.stdout.buffer.write(json.dumps({"bytes": len(pixels), "broken": broken}).encode() + b"\n")
            sys.stdout.buffer.write(pixels)
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

    def submit(self, root: str, files: Sequence[str], size: int) -> "Future[Chunk]":
        """Decode pictures in the next idle process (see `decode`)."""
        return self._threads.submit(self._decode, root, files, size)

    def _decode(self, root: str, files: Sequence[str], size: int) -> Chunk:
        process = self._idle.get()
        try:
            return process.decode(root, files, size)
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

    def decode(self, root: str, files: Sequence[str], size: int) -> Chunk:
        """Send a request and wait for the answer."""
        requests, answers = self._process.stdin, self._process.stdout
        assert requests is not None
        assert answers is not None
        try:
            requests.write(json.dumps([root, list(files), size]).encode() + b"\n")
            requests.flush()
            head = json.loads(answers.readline())
            pixels = answers.read(head["bytes"])
            if len(pixels) < head["bytes"]:
                raise EOFError
        except (OSError, ValueError, EOFError) as error:
            raise CvaeError(
                f"a process that decodes pictures has ended (status {self._process.wait()}) between {files[0]} and "
                f"{files[-1]}",
                hint="was there enough memory?",
            ) from error
        return pixels, head["broken"]

    def end(self) -> None:
        """Kill the process and close its pipes."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # a request that was not read
                pipe.close()


def _cores() -> int:
    """Return the number of CPU cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
