"""`manifest.jsonl`: the list of the finished files in a folder.

The first line holds the settings that the pictures depend on. One line for each finished file follows, in the order of
the pictures. So the finished pictures are always the first ones of the job, and a later call continues behind them.
What the list says is not believed: a file that is gone, or has another size, is a gap, and is drawn again.
"""

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cvae_cli.bulk.manifest_lines import Entry, check_settings, parse_entry
from cvae_cli.errors import CorruptError, UsageError, quoted
from cvae_cli.paths import atomic_path, draft_of, name_in_errors, write_error, write_text
from cvae_cli.pictures.files import FORMATS

NAME = "manifest.jsonl"
_LOCK = ".lock"
_SUFFIXES = tuple(f".{suffix}" for suffix in [*FORMATS, "tar"])

Record = Callable[[Entry], None]
"""Enter a finished file into a manifest."""


@dataclass(frozen=True)
class Gap:
    """Listed files in a row that are gone, or have another size than when they were written.

    Attributes:
        lines: the numbers of their entries, from 0.
        pictures: the numbers of their pictures, from 0.
    """

    lines: range
    pictures: range


@dataclass(frozen=True)
class State:
    """How far a manifest has come.

    Attributes:
        files: the number of listed files.
        pictures: the number of their pictures.
        length: bytes up to the end of the last entry; 0 without a manifest.
        gaps: the listed files that are not there, in order.
    """

    files: int = 0
    pictures: int = 0
    length: int = 0
    gaps: tuple[Gap, ...] = ()

    @property
    def missing(self) -> int:
        """The number of pictures in the gaps."""
        return sum(len(gap.pictures) for gap in self.gaps)


def read_state(folder: Path, settings: dict[str, Any], prompts: Iterable[str]) -> State:
    """Read how far the manifest of a folder has come. A torn last line, left by a killed process, is ignored.

    Args:
        settings: what the pictures depend on besides the prompts.
        prompts: all prompts of the job.

    Raises:
        UsageError: the manifest has other settings or prompts.
        CorruptError: the manifest is damaged, or another program wrote it.
    """
    path = folder / NAME
    if not os.path.lexists(path):
        return State()
    if not path.is_file():
        raise CorruptError(f"{path} is not a file", hint=_start_over(path))
    files = pictures = 0
    gaps: list[Gap] = []
    wanted = _Prompts(folder, prompts, settings["n"])
    with path.open("rb") as file:
        length = check_settings(file.readline(), settings, path, hint=_start_over(path))
        for line in file:
            entry = parse_entry(line, settings, pictures)
            if entry is None:
                if file.read(1):
                    raise CorruptError(f"{path}, line {files + 2}: not an entry", hint=_start_over(path))
                break
            count = entry.get("pictures", 1)
            if not _is_there(folder, entry):
                _add(gaps, Gap(range(files, files + 1), range(pictures, pictures + count)), may_join=count == 1)
            files, pictures, length = files + 1, pictures + count, length + len(line)
            wanted.compare(pictures, entry["prompt"])
    wanted.check()
    return State(files, pictures, length, tuple(gaps))


def file_names(folder: Path) -> Iterator[str]:
    """Yield the names of the finished files in a folder."""
    with (folder / NAME).open("rb") as file:
        next(file)
        for line in file:
            yield json.loads(line)["file"]


@contextmanager
def locked(folder: Path, settings: dict[str, Any], state: State, read: Callable[[], State]) -> Iterator[None]:
    """Lock the folder for the length of the block, and begin its manifest, or mend it.

    Args:
        state: how far the folder was before it was locked.
        read: reads how far it is now.

    Raises:
        UsageError: another process writes into the folder, or has just done so; or the folder cannot be written.
    """
    path = folder / NAME
    with _lock(folder):
        if read() != state:
            raise UsageError(f"another process has just drawn into {folder}", hint="run the same command again")
        for each in folder.iterdir():
            target = draft_of(each.name)
            if target == NAME or (target is not None and target[0].isdigit() and target.endswith(_SUFFIXES)):
                each.unlink()  # what a killed process was writing
        if not state.length:
            write_text(path, json.dumps(settings) + "\n")
        elif path.stat().st_size > state.length:
            os.truncate(path, state.length)
        yield


@contextmanager
def open_to_append(folder: Path) -> Iterator[Record]:
    """Yield a function that appends an entry to the manifest of a locked folder."""
    path = folder / NAME
    with path.open("ab", buffering=0) as file:

        def append(entry: Entry) -> None:
            line = _to_line(entry)
            with name_in_errors(path):
                while line:  # a disk that is nearly full takes only a part
                    line = line[file.write(line) :]

        yield append


@contextmanager
def open_to_mend(folder: Path, gaps: Iterable[Gap]) -> Iterator[Record]:
    """Yield a function that takes the entries of the files in the gaps, one after another, and replaces the old ones.

    Those that it has got when the block ends, with or without an error, are in the manifest.
    """
    path = folder / NAME
    lines = (line for gap in gaps for line in gap.lines)
    position = 0
    stopped: BaseException | None = None
    with name_in_errors(path), path.open("rb") as old, atomic_path(path) as draft, draft.open("wb") as new:
        new.write(old.readline())

        def replace(entry: Entry) -> None:
            nonlocal position
            line = next(lines)
            for _ in range(position, line):
                new.write(old.readline())
            old.readline()
            new.write(_to_line(entry))
            position = line + 1

        try:
            yield replace
        except BaseException as error:
            stopped = error
        for rest in old:
            new.write(rest)
    if stopped is not None:
        raise stopped


class _Prompts:
    """Compares the prompts of a manifest with those of the job."""

    def __init__(self, folder: Path, prompts: Iterable[str], n: int) -> None:
        self._folder, self._prompts, self._n = folder, enumerate(prompts), n
        first: tuple[int, str | None] = next(self._prompts, (0, None))
        self._row, self._prompt = first
        self._error: UsageError | None = None

    def compare(self, pictures: int, listed: str) -> None:
        """Compare the prompt of the last one of the first `pictures` pictures."""
        while self._prompt is not None and self._row < (pictures - 1) // self._n:
            self._row, self._prompt = next(self._prompts, (self._row, None))
        if self._prompt != listed:
            asked = "nothing" if self._prompt is None else quoted(self._prompt)
            self._error = UsageError(
                f"picture {pictures:,} in {self._folder} is of {quoted(listed)}, and the prompts now ask for {asked} "
                "there",
                hint=f"give the same prompts, {_start_over(self._folder / NAME)}",
            )

    def check(self) -> None:
        """Raise a UsageError if a prompt was another one."""
        if self._error is not None:
            raise self._error


def _start_over(path: Path) -> str:
    return f"draw into another folder, or remove {path} to start over"


def _add(gaps: list[Gap], gap: Gap, *, may_join: bool) -> None:
    """Add a gap; files of one picture each are joined with those before them, so that a million take no memory."""
    last = gaps[-1] if gaps else None
    if last and may_join and last.lines.stop == gap.lines.start:
        gaps[-1] = Gap(range(last.lines.start, gap.lines.stop), range(last.pictures.start, gap.pictures.stop))
    else:
        gaps.append(gap)


def _is_there(folder: Path, entry: Entry) -> bool:
    """Whether a listed file is there, with its size. Entries of version 0.1 do not say the size."""
    try:
        about = os.stat(folder / entry["file"])
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(about.st_mode) and about.st_size > 0 and entry.get("bytes", about.st_size) == about.st_size


def _to_line(entry: Entry) -> bytes:
    return json.dumps(entry).encode() + b"\n"


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"another process is drawing into {folder}", hint="wait for it, or choose another folder with --out"
        ) from error
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()
