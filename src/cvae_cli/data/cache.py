"""Decode and resize pictures once, and keep them as plain bytes that are mapped into memory.

The prepared pictures of a data set are a folder that `prepared` describes. It is built under the name `FOLDER.part`,
chunk by chunk: pixels are appended first, then a line is appended to a journal to confirm them. A build that was killed
resumes after the last line of the journal.
"""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvae_cli.data.building import append, exclusive, require_space
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.decode import decode_all
from cvae_cli.data.listing import MAX_LOST, Listing
from cvae_cli.data.prepared import (
    INDEX,
    PIXELS,
    Broken,
    Chunk,
    Prepared,
    UnusableError,
    are_texts,
    pixels_digest,
    read_prepared,
    write_index,
)
from cvae_cli.errors import CorruptError
from cvae_cli.events import Callback, Notice, Progress
from cvae_cli.paths import cache_dir

_KEY = 1  # a part of each folder's name; another number would make all prepared pictures anew
_JOURNAL = "journal.jsonl"
_MAX_NAMED = 3  # damaged pictures that a message names
_CHECKED_AT_ONCE = 1 << 28  # bytes of pixels; more are compared with their digests chunk by chunk, when they are read


@dataclass(frozen=True)
class _Place:
    """Where the prepared pictures of a listing are, and the state of the picture files.

    Attributes:
        folder: named by a digest of the names, sizes and times of the files.
        vouched: a digest of their inodes and times of change: a file that is replaced by one of the same size and time
            has others.
        changed_ns: the newest time of change.
    """

    folder: Path
    vouched: str
    changed_ns: int


def prepare(listing: Listing, size: int, *, callback: Callback) -> Dataset:
    """Return the pictures of a listing at `size` x `size` in RGB, uint8 `(n, size, size, 3)`, mapped from the cache.

    Pictures that are not in the cache yet are decoded and added to it. Pictures that cannot be read are left out. The
    cache keeps pixels only; captions and classes are taken from the listing.

    Raises:
        CorruptError: more than 1% of the pictures cannot be read.
        UsageError: the cache cannot be written or has too little space.
        OSError: the disk is full or fails. The unfinished folder is removed.
    """
    place = _find_place(listing, size)
    folder = place.folder
    try:
        prepared = _open(place, listing, size)
    except UnusableError:
        with exclusive(folder, f"preparing {listing.name}", callback):
            try:
                prepared = _open(place, listing, size)  # another process may have built it in the meantime
            except UnusableError as reason:
                if folder.exists():
                    callback(Notice(f"the prepared pictures in {folder} are {reason}, and are prepared again"))
                    shutil.rmtree(folder)
                _build(listing, size, place, callback)
                prepared = read_prepared(folder)
                prepared.checked.fill(True)
    broken = prepared.broken
    if broken:
        count = f"{len(broken):,} of {len(listing.files):,} pictures"
        callback(Notice(f"{count} cannot be read and are left out: {_first_names(broken)}"))
    rows = np.array([row for row, file in enumerate(listing.files) if file not in broken], np.int64)
    return Dataset(
        name=listing.name,
        split=listing.split,
        pixels=prepared.map(),
        rows=rows,
        conditions=listing.conditions.take(rows),
        licence=listing.licence,
        cache=folder,
        prepared=prepared,
    )


def _open(place: _Place, listing: Listing, size: int) -> Prepared:
    """Return the prepared pictures of a listing, compared with their digests unless they are many.

    Raises:
        UnusableError: there are none, or they are damaged or out of date.
    """
    prepared = read_prepared(place.folder)
    if prepared.size != size or prepared.files != listing.files:
        raise UnusableError("damaged")
    if prepared.vouched is None and place.changed_ns > prepared.made_ns:
        raise UnusableError("of an earlier version, and older than the pictures")
    if prepared.vouched not in {None, place.vouched}:
        raise UnusableError("of files that have been replaced since")
    pixels = prepared.map()
    if pixels.nbytes <= _CHECKED_AT_ONCE:
        try:
            prepared.check(pixels)
        except CorruptError as error:
            raise UnusableError("damaged") from error
    return prepared


def _find_place(listing: Listing, size: int) -> _Place:
    """Return where the prepared pictures of a listing are.

    It is another folder when the size or the time of a file, or of an archive, differs.
    """
    digest = hashlib.sha256(f"{_KEY} {size} ".encode() + os.fsencode(listing.root))
    vouched = hashlib.sha256()
    changed_ns = 0
    for file in dict.fromkeys(place.path for place in listing.places) or listing.files:
        path = os.path.join(listing.root, file)
        state = "none"  # so that a file that becomes readable counts as changed
        if os.access(path, os.R_OK):
            about = os.stat(path)
            state = f"{about.st_size} {about.st_mtime_ns}"
            vouched.update(f"{about.st_ino} {about.st_ctime_ns}\0".encode())
            changed_ns = max(changed_ns, about.st_ctime_ns)
        digest.update(b"\0" + os.fsencode(file) + b"\0" + state.encode())
    for place in listing.places:
        digest.update(b"\0" + os.fsencode(place.name))
    slug = re.sub(r"[^A-Za-z0-9]+", "-", listing.name)[-40:].strip("-")
    folder = prepared_home() / f"{slug}-{listing.split}-{size}-{digest.hexdigest()[:16]}"
    return _Place(folder, vouched.hexdigest(), changed_ns)


def prepared_home() -> Path:
    """Return the folder of all prepared pictures."""
    return cache_dir() / "prepared"


def _first_names(broken: Broken) -> str:
    names = list(broken)
    return ", ".join(names[:_MAX_NAMED]) + (", ..." if len(names) > _MAX_NAMED else "")


def _build(listing: Listing, size: int, place: _Place, callback: Callback) -> None:
    """Build the folder, or resume a build that was killed.

    An interrupt (Ctrl-C) keeps the finished part for the next call; an error removes it.
    """
    part = place.folder.with_name(place.folder.name + ".part")
    try:
        part.mkdir(exist_ok=True)
        broken, chunks = _append_pixels(listing, size, part, callback)
        index = write_index(
            name=listing.name,
            split=listing.split,
            size=size,
            files=listing.files,
            broken=broken,
            vouched=place.vouched,
            chunks=chunks,
        )
        append(part / INDEX, index, at=0)
        os.replace(part, place.folder)
        (place.folder / _JOURNAL).unlink()
    except Exception:
        shutil.rmtree(part, ignore_errors=True)
        raise


def _append_pixels(listing: Listing, size: int, part: Path, callback: Callback) -> tuple[Broken, list[Chunk]]:
    """Append the pixels that are missing in an unfinished folder, and return the broken pictures and all chunks."""
    pixels, journal = part / PIXELS, part / _JOURNAL
    row, total = 3 * size * size, len(listing.files)  # `row` is the number of bytes of a picture
    chunks, broken, journal_length = _read_journal(journal, pixels, listing.files, row)
    done = chunks[-1][0] if chunks else 0
    task = f"preparing {listing.name}"
    require_space(part, (total - done) * row, task)
    callback(Progress(task, done, total))
    with closing(decode_all(listing.root, (listing.places or listing.files)[done:], size)) as decoded:
        for content, more_broken in decoded:
            append(pixels, content, at=done * row)
            done += len(content) // row
            chunks.append((done, pixels_digest(content)))
            entry = {"done": done, "digest": chunks[-1][1], "broken": more_broken}
            line = json.dumps(entry).encode() + b"\n"
            append(journal, line, at=journal_length)
            journal_length += len(line)
            broken |= more_broken
            if len(broken) > total * MAX_LOST:
                raise CorruptError(
                    f"more than {MAX_LOST:.0%} of the {total:,} pictures cannot be read: {_first_names(broken)}",
                    hint=f"the first: {next(iter(broken.values()))}",
                )
            callback(Progress(task, done, total))
    return broken, chunks


def _read_journal(journal: Path, pixels: Path, files: Sequence[str], row: int) -> tuple[list[Chunk], Broken, int]:
    """Return the finished chunks, the broken pictures in them, and the length of the journal in bytes."""
    broken: Broken = {}
    chunks: list[Chunk] = []
    done = length = 0
    names = set(files)
    written = pixels.stat().st_size if pixels.exists() else 0
    for line in journal.read_bytes().splitlines(keepends=True) if journal.exists() else []:
        try:
            entry = json.loads(line)
        except (ValueError, RecursionError):  # the process was killed while it wrote this line
            break
        match entry:
            case {"done": int(next_done), "digest": str(digest), "broken": dict(more_broken)}:
                is_possible = done < next_done <= min(written // row, len(files))
                is_sound = more_broken.keys() <= names and are_texts(more_broken.values())
                if not (is_possible and is_sound and line.endswith(b"\n")):
                    break
            case _:
                break
        done, length = next_done, length + len(line)
        chunks.append((done, digest))
        broken |= more_broken
    return chunks, broken, length
