"""Build large files in the cache: one process at a time, after a look at the free space, flushed to the disk."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from cvae_cli.errors import UsageError, byte_size
from cvae_cli.events import Callback, Notice
from cvae_cli.paths import write_error

_MOVE_HINT = "CVAE_HOME puts the cache elsewhere"
_RESERVE = 20_000_000  # bytes that must remain free on the disk


@contextmanager
def exclusive(path: Path, task: str, callback: Callback) -> Iterator[None]:
    """Hold the lock of a path that is to be created, so that one process creates it and the others wait.

    Args:
        task: what the process does, such as "preparing coco", for the notice that another process waits.

    Raises:
        UsageError: the lock, or what the block creates, cannot be written.
    """
    lock = FileLock(path.with_name(path.name + ".lock"))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            callback(Notice(f"another process is {task}; waiting for it"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise write_error(path, error, hint=_MOVE_HINT) from error


def require_space(folder: Path, needed: int, task: str) -> None:
    """Raise a UsageError when the disk of a folder has too little space for a task.

    Args:
        folder: need not exist yet.
        needed: bytes. Slightly more must be free.
    """
    existing = next(parent for parent in [folder, *folder.parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    needed += needed // 50 + _RESERVE
    if needed > free:
        raise UsageError(
            f"{task} needs {byte_size(needed)} in {folder}, {byte_size(needed - free)} more than are free there",
            hint=_MOVE_HINT,
        )


def append(path: Path, content: bytes, *, at: int) -> None:
    """Truncate a file to `at` bytes, append `content`, and flush it to the disk.

    The file is written, not mapped: on a full disk, writing raises an OSError, but a mapping would kill the process.
    """
    try:
        with path.open("ab") as file:
            file.truncate(at)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # errors of `write` do not name the file
