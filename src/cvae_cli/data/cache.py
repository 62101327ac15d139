"""Pictures prepared once: decoded, brought to one size, and kept as plain bytes that are mapped into memory.

A data set's place in the cache is a folder with `pixels.bin`, the bytes of all its pictures one after another, and
`index.json`, which says what they are. It is built beside its place, `PLACE.part`, in chunks: the pixels are appended,
and then a line to a journal that vouches for them. What was killed goes on behind the last line.
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
from cvae_cli.data.listing import MOST_LOST, Listing
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.events import Callback, Notice, Progress
from cvae_cli.paths import cache_dir, write_error

_FORMAT = 1
_ELSEWHERE = "CVAE_HOME puts the cache elsewhere"
_PIXELS, _INDEX, _JOURNAL = "pixels.bin", "index.json", "journal.jsonl"
_MARGIN = 20_000_000  # bytes that stay free, whatever is begun
_NAMED = 3  # damaged pictures that a message names


def prepare(listing: Listing, size: int, *, callback: Callback) -> Dataset:
    """The pictures of a listing at `size` x `size` in RGB, uint8 `(n, size, size, 3)`, mapped from the cache.

    Those that cannot be read are left out. The captions and classes are the listing's; only pixels are kept.

    Raises:
        CorruptError: more than 1% of the pictures cannot be read.
        UsageError: the cache cannot be written, or has too little space.
        OSError: the disk is full, or fails; what was begun is removed.
    """
    place = prepared_dir(listing, size)
    broken = _broken(place, listing, size)
    if broken is None:
        with exclusive(place, f"preparing {listing.name}", callback):
            broken = _broken(place, listing, size)  # another process may have built it while this one waited
            if broken is None:
                if place.exists():
                    callback(Notice(f"the prepared pictures in {place} are damaged, and made anew"))
                    shutil.rmtree(place)
                broken = _build(listing, size, place, callback)
    if broken:
        callback(
            Notice(
                f"{len(broken):,} of {len(listing.files):,} pictures cannot be read and are left out: {_first(broken)}"
            )
        )
    rows = np.array([row for row, file in enumerate(listing.files) if file not in broken], np.int64)
    shape = (len(listing.files), size, size, 3)
    return Dataset(
        name=listing.name,
        split=listing.split,
        pixels=np.asarray(np.memmap(place / _PIXELS, np.uint8, mode="r", shape=shape)),
        rows=rows,
        conditions=listing.conditions.take(rows),
        licence=listing.licence,
        cache=place,
    )


def prepared_dir(listing: Listing, size: int) -> Path:
    """Where the prepared pictures of a listing are or will be; another place when one of its files has changed."""
    digest = hashlib.sha256(f"{_FORMAT} {size} ".encode() + os.fsencode(listing.root))
    for file in listing.files:
        path = os.path.join(listing.root, file)
        state = "none"  # a file that can be read again is another one, too
        if os.access(path, os.R_OK):
            about = os.stat(path)
            state = f"{about.st_size} {about.st_mtime_ns}"
        digest.update(b"\0" + os.fsencode(file) + b"\0" + state.encode())
    slug = re.sub(r"[^A-Za-z0-9]+", "-", listing.name)[-40:].strip("-")
    return cache_dir() / "prepared" / f"{slug}-{listing.split}-{size}-{digest.hexdigest()[:16]}"


@contextmanager
def exclusive(place: Path, what: str, callback: Callback) -> Iterator[None]:
    """Hold the lock of a place that is to be made, so that of several processes one makes it and the others wait.

    Raises:
        UsageError: the lock, or what the block makes, cannot be written there.
    """
    lock = FileLock(place.with_name(place.name + ".lock"))
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            callback(Notice(f"another process is {what}; waiting for it"))
            lock.acquire()
        try:
            yield
        finally:
            lock.release()
    except OSError as error:
        raise write_error(place, error, hint=_ELSEWHERE) from error


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what a disk has no space for.

    Args:
        needed: bytes; a little more than that must be free where `folder` is or will be.

    Raises:
        UsageError: it is not.
    """
    there = next(parent for parent in [folder, *folder.absolute().parents] if parent.exists())
    free = shutil.disk_usage(there).free
    needed += needed // 50 + _MARGIN
    if needed > free:
        raise UsageError(f"{what} needs {_amount(needed)} in {folder}, where {_amount(free)} are free", hint=_ELSEWHERE)


def _amount(n: int) -> str:
    return f"{n / 1e9:,.1f} GB" if n >= 1e9 else f"{n / 1e6:,.0f} MB"


def _broken(place: Path, listing: Listing, size: int) -> dict[str, str] | None:
    """Why some of the pictures in a place cannot be read; None when the place is not there, or not whole."""
    try:
        index = json.loads((place / _INDEX).read_bytes())
        whole = (
            index["format"] == _FORMAT
            and index["size"] == size
            and index["files"] == list(listing.files)
            and (place / _PIXELS).stat().st_size == len(listing.files) * 3 * size * size
        )
        return dict(index["broken"]) if whole else None
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError, RecursionError):
        return None


def _build(listing: Listing, size: int, place: Path, callback: Callback) -> dict[str, str]:
    """Make the place, or go on where a killed process was, and return why some pictures cannot be read.

    Ctrl-C leaves what is done, for the next time; an error does not.
    """
    part = place.with_name(place.name + ".part")
    try:
        part.mkdir(exist_ok=True)
        broken = _append_pixels(listing, size, part, callback)
        index = {"format": _FORMAT, "size": size, "broken": broken, "files": listing.files}
        append(part / _INDEX, json.dumps(index).encode(), at=0)
        os.replace(part, place)
        (place / _JOURNAL).unlink()
    except Exception:
        shutil.rmtree(part, ignore_errors=True)
        raise
    return broken


def _append_pixels(listing: Listing, size: int, part: Path, callback: Callback) -> dict[str, str]:
    pixels, journal = part / _PIXELS, part / _JOURNAL
    row, total = 3 * size * size, len(listing.files)
    done, broken, vouched = _journal(journal, pixels, row)
    require_space(part, (total - done) * row, f"preparing {listing.name}")
    what = f"preparing {listing.name}"
    callback(Progress(what, done, total))
    with closing(decode_all(listing.root, listing.files[done:], size)) as chunks:
        for content, more in chunks:
            append(pixels, content, at=done * row)
            done += len(content) // row
            line = json.dumps({"done": done, "broken": more}).encode() + b"\n"
            append(journal, line, at=vouched)
            vouched += len(line)
            broken |= more
            if len(broken) > total * MOST_LOST:
                raise CorruptError(
                    f"more than {MOST_LOST:.0%} of the {total:,} pictures cannot be read: {_first(broken)}",
                    hint=f"the first: {next(iter(broken.values()))}",
                )
            callback(Progress(what, done, total))
    return broken


def _journal(journal: Path, pixels: Path, row: int) -> tuple[int, dict[str, str], int]:
    """How many pictures are done, which of them are broken, and the length in bytes of the lines that say so."""
    broken: dict[str, str] = {}
    done = length = 0
    here = pixels.stat().st_size if pixels.exists() else 0
    for line in journal.read_bytes().splitlines(keepends=True) if journal.exists() else []:
        try:
            entry = json.loads(line)
        except ValueError:  # the line at which it was killed
            break
        if not line.endswith(b"\n") or entry["done"] * row > here:
            break
        done, length = entry["done"], length + len(line)
        broken |= entry["broken"]
    return done, broken, length


def append(path: Path, content: bytes, *, at: int) -> None:
    """Let a file end, after its first `at` bytes, with `content`, and be so on the disk.

    Written rather than mapped: where the disk is full, writing raises an OSError, and a mapping kills the process.
    """
    try:
        with path.open("ab") as file:
            file.truncate(at)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error  # which a failing write does not say


def _first(broken: dict[str, str]) -> str:
    names = list(broken)
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")
