"""Decode and resize pictures once, and keep them as plain bytes that are mapped into memory.

The prepared pictures of a data set are a folder with `pixels.bin`, the bytes of all pictures one after another, and
`index.json`, which says what they are. The folder is built under the name `FOLDER.part`, chunk by chunk: pixels are
appended first, then a line is appended to a journal to confirm them. A build that was killed resumes after the last
line of the journal.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from cvae_cli.data.dataset import Dataset
from cvae_cli.data.decode import decode_all
from cvae_cli.data.listing import MAX_LOST, Listing
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.events import Callback, Notice, Progress
from cvae_cli.paths import cache_dir, write_error

_FORMAT = 1
_MOVE_HINT = "CVAE_HOME puts the cache elsewhere"
_PIXELS, _INDEX, _JOURNAL = "pixels.bin", "index.json", "journal.jsonl"
_RESERVE = 20_000_000  # bytes that must remain free on the disk
_MAX_NAMED = 3  # damaged pictures that a message names

Broken = dict[str, str]
"""The pictures that cannot be read, and why."""


def prepare(listing: Listing, size: int, *, callback: Callback) -> Dataset:
    """Return the pictures of a listing at `size` x `size` in RGB, uint8 `(n, size, size, 3)`, mapped from the cache.

    Pictures that are not in the cache yet are decoded and added to it. Pictures that cannot be read are left out. The
    cache keeps pixels only; captions and classes are taken from the listing.

    Raises:
        CorruptError: more than 1% of the pictures cannot be read.
        UsageError: the cache cannot be written or has too little space.
        OSError: the disk is full or fails. The unfinished folder is removed.
    """
    folder = prepared_dir(listing, size)
    broken = _read_index(folder, listing, size)
    if broken is None:
        with exclusive(folder, f"preparing {listing.name}", callback):
            broken = _read_index(folder, listing, size)  # another process may have built it in the meantime
            if broken is None:
                if folder.exists():
                    callback(Notice(f"the prepared pictures in {folder} are damaged, and are prepared again"))
                    shutil.rmtree(folder)
                broken = _build(listing, size, folder, callback)
    if broken:
        count = f"{len(broken):,} of {len(listing.files):,} pictures"
        callback(Notice(f"{count} cannot be read and are left out: {_first_names(broken)}"))
    rows = np.array([row for row, file in enumerate(listing.files) if file not in broken], np.int64)
    shape = (len(listing.files), size, size, 3)
    return Dataset(
        name=listing.name,
        split=listing.split,
        pixels=np.asarray(np.memmap(folder / _PIXELS, np.uint8, mode="r", shape=shape)),
        rows=rows,
        conditions=listing.conditions.take(rows),
        licence=listing.licence,
        cache=folder,
    )


def prepared_dir(listing: Listing, size: int) -> Path:
    """Return the folder of a listing's prepared pictures. It is another one when a picture file has changed."""
    digest = hashlib.sha256(f"{_FORMAT} {size} ".encode() + os.fsencode(listing.root))
    for file in listing.files:
        path = os.path.join(listing.root, file)
        state = "none"  # so that a file that becomes readable counts as changed
        if os.access(path, os.R_OK):
            about = os.stat(path)
            state = f"{about.st_size} {about.st_mtime_ns}"
        digest.update(b"\0" + os.fsencode(file) + b"\0" + state.encode())
    slug = re.sub(r"[^A-Za-z0-9]+", "-", listing.name)[-40:].strip("-")
    return cache_dir() / "prepared" / f"{slug}-{listing.split}-{size}-{digest.hexdigest()[:16]}"


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
    existing = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(existing).free
    needed += needed // 50 + _RESERVE
    if needed > free:
        raise UsageError(
            f"{task} needs {_format_bytes(needed)} in {folder}, where {_format_bytes(free)} are free", hint=_MOVE_HINT
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


def _format_bytes(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.0f} MB"


def _first_names(broken: Broken) -> str:
    names = list(broken)
    return ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")


def _read_index(folder: Path, listing: Listing, size: int) -> Broken | None:
    """Return the broken pictures of a prepared folder, or None when the folder is missing or incomplete."""
    try:
        index = json.loads((folder / _INDEX).read_bytes())
        is_complete = (
            index["format"] == _FORMAT
            and index["size"] == size
            and index["files"] == list(listing.files)
            and (folder / _PIXELS).stat().st_size == len(listing.files) * 3 * size * size
        )
        return dict(index["broken"]) if is_complete else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _build(listing: Listing, size: int, folder: Path, callback: Callback) -> Broken:
    """Build the folder, or resume a build that was killed, and return the broken pictures.

    An interrupt (Ctrl-C) keeps the finished part for the next call; an error removes it.
    """
    part = folder.with_name(folder.name + ".part")
    try:
        part.mkdir(exist_ok=True)
        broken = _append_pixels(listing, size, part, callback)
        index = {"format": _FORMAT, "size": size, "broken": broken, "files": listing.files}
        append(part / _INDEX, json.dumps(index).encode(), at=0)
        os.replace(part, folder)
        (folder / _JOURNAL).unlink()
    except Exception:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return broken


def _append_pixels(listing: Listing, size: int, part: Path, callback: Callback) -> Broken:
    """Append the pixels that are missing in an unfinished folder, and return the broken pictures."""
    pixels, journal = part / _PIXELS, part / _JOURNAL
    row, total = 3 * size * size, len(listing.files)  # `row` is the number of bytes of a picture
    done, broken, journal_length = _read_journal(journal, pixels, row)
    task = f"preparing {listing.name}"
    require_space(part, (total - done) * row, task)
    callback(Progress(task, done, total))
    with closing(decode_all(listing.root, listing.files[done:], size)) as chunks:
        for content, more_broken in chunks:
            append(pixels, content, at=done * row)
            done += len(content) // row
            line = json.dumps({"done": done, "broken": more_broken}).encode() + b"\n"
            append(journal, line, at=journal_length)
            journal_length += len(line)
            broken |= more_broken
            if len(broken) > total * MAX_LOST:
                raise CorruptError(
                    f"more than {MAX_LOST:.0%} of the {total:,} pictures cannot be read: {_first_names(broken)}",
                    hint=f"the first: {next(iter(broken.values()))}",
                )
            callback(Progress(task, done, total))
    return broken


def _read_journal(journal: Path, pixels: Path, row: int) -> tuple[int, Broken, int]:
    """Return the number of finished pictures, the broken ones among them, and the length of the journal in bytes."""
    broken: Broken = {}
    done = length = 0
    written = pixels.stat().st_size if pixels.exists() else 0
    for line in journal.read_bytes().splitlines(keepends=True) if journal.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # the process was killed while it wrote this line
            break
        if not line.endswith(b"\n") or entry["done"] * row > written:
            break
        done, length = entry["done"], length + len(line)
        broken |= entry["broken"]
    return done, broken, length
