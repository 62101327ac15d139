"""Pictures from files to bytes, by several processes.

The processes are started by hand rather than by `multiprocessing`, which runs the user's script again in each of them:
a script without a main guard, or a notebook, can load a data set like any other. They live as long as the pipe they
take orders from, so they go when this process does, however it ends.
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
"""The pixels of some pictures, one after another, and why some of these are black: they cannot be read."""

_FEW = 300  # pictures that are decoded sooner than processes are started
_MOST_BYTES = 1 << 25  # of a chunk's pixels
_MOST_PICTURES = 128  # in a chunk
_START = "import sys; sys.path.append(sys.argv[1]); from cvae_cli.data.decode import serve; serve()"


def chunk_length(size: int) -> int:
    """How many pictures of `size` pixels a side are decoded at a time."""
    return max(1, min(_MOST_PICTURES, _MOST_BYTES // (3 * size * size)))


def decode(root: str, files: Sequence[str], size: int) -> Chunk:
    """Pictures as RGB of `size` x `size`: the short side brought to it, the middle kept."""
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
    """All pictures in order, in chunks of `chunk_length(size)`.

    Raises:
        CvaeError: a process has ended that should not.
    """
    length = chunk_length(size)
    chunks = [files[start : start + length] for start in range(0, len(files), length)]
    if len(files) < _FEW or not sys.executable:
        for chunk in chunks:
            yield decode(str(root), chunk, size)
        return
    with _Decoders(min(_cores(), len(chunks))) as decoders:
        ahead: deque[Future[Chunk]] = deque()
        for chunk in chunks:
            ahead.append(decoders.submit(str(root), chunk, size))
            if len(ahead) > 2 * decoders.n:  # enough to do for all, and no more in memory
                yield ahead.popleft().result()
        while ahead:
            yield ahead.popleft().result()


def serve() -> None:
    """What a decoding process does: a line of JSON in; a line of JSON and the pixels out; until there is no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the process that gives the orders
    try:
        for line in sys.stdin.buffer:
            pixels, broken = decode(*json.loads(line))
            sys.stdout.buffer.write(json.dumps({"bytes": len(pixels), "broken": broken}).encode() + b"\n")
            sys.stdout.buffer.write(pixels)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os._exit(0)  # nobody is there to tell


class _Decoders:
    """`n` processes, and a thread for each that waits for its answers."""

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
            process.end()  # a thread that still waits for its answer wakes up
        self._threads.shutdown()

    def submit(self, root: str, files: Sequence[str], size: int) -> "Future[Chunk]":
        return self._threads.submit(self._decode, root, files, size)

    def _decode(self, root: str, files: Sequence[str], size: int) -> Chunk:
        process = self._idle.get()
        try:
            return process.decode(root, files, size)
        finally:
            self._idle.put(process)


class _Decoder:
    """A process that decodes."""

    def __init__(self) -> None:
        package = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-c", _START, str(package)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # where Pillow's libraries complain of each damaged file
        )

    def decode(self, root: str, files: Sequence[str], size: int) -> Chunk:
        orders, answers = self._process.stdin, self._process.stdout
        assert orders is not None
        assert answers is not None
        try:
            orders.write(json.dumps([root, list(files), size]).encode() + b"\n")
            orders.flush()
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
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with contextlib.suppress(OSError):  # orders that it did not take
                pipe.close()


def _cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
