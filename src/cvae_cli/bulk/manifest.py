"""`manifest.jsonl`: the list of the finished files in a folder.

The first line holds the settings that the pictures depend on. One line for each finished file follows, in the order of
the pictures. So the finished pictures are always the first ones of the job, and a later call continues behind them.
"""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cvae_cli.errors import UsageError, quoted
from cvae_cli.paths import name_in_errors, write_error, write_text
from cvae_cli.pictures.files import FORMATS

Entry = dict[str, Any]
"""A finished file: `file`, its name; `prompt` and `sample` of its (last) picture; for a shard also the number of its
`pictures`."""

NAME = "manifest.jsonl"
_LOCK = ".lock"
_SUFFIXES = "|".join([*FORMATS, "tar"])
_DRAFT = re.compile(rf"\.\d+(-.*)?\.({_SUFFIXES})\.\d+\.tmp")  # a file that a killed process was writing


@dataclass(frozen=True)
class State:
    """How far a manifest has come.

    Attributes:
        files: the number of finished files.
        pictures: the number of finished pictures.
        last: the last entry.
        length: bytes up to the end of the last entry; 0 without a manifest.
    """

    files: int = 0
    pictures: int = 0
    last: Entry | None = None
    length: int = 0


def read_state(folder: Path, settings: dict[str, Any]) -> State:
    """Read how far the manifest of a folder has come; an incomplete last line, left by a killed process, is ignored.

    Raises:
        UsageError: the manifest has other settings, or another program wrote it.
    """
    path = folder / NAME
    if not path.exists():
        return State()
    files = pictures = 0
    last = None
    with path.open("rb") as file:
        length = _check_settings(file.readline(), settings, path)
        for line in file:
            entry = _parse(line)
            if entry is None or not isinstance(entry.get("prompt"), str) or "sample" not in entry:
                break
            files, pictures, last = files + 1, pictures + entry.get("pictures", 1), entry
            length += len(line)
    return State(files, pictures, last, length)


def file_names(folder: Path) -> Iterator[str]:
    """Yield the names of the finished files in a folder."""
    with (folder / NAME).open("rb") as file:
        next(file)
        for line in file:
            yield json.loads(line)["file"]


@contextmanager
def open_to_append(folder: Path, state: State, settings: dict[str, Any]) -> Iterator[Callable[[Entry], None]]:
    """Lock the folder, and yield a function that appends an entry to its manifest, behind those of `state`.

    Raises:
        UsageError: another process writes into the folder, or has just done so; or the folder cannot be written.
    """
    path = folder / NAME
    with _lock(folder):
        if read_state(folder, settings) != state:
            raise UsageError(f"another process has just drawn into {folder}", hint="give the same command again")
        for draft in folder.iterdir():
            if _DRAFT.fullmatch(draft.name):
                draft.unlink()
        if not state.length:
            write_text(path, json.dumps(settings) + "\n")
        with path.open("ab", buffering=0) as file:
            if state.length:
                file.truncate(state.length)

            def append(entry: Entry) -> None:
                line = json.dumps(entry).encode() + b"\n"
                with name_in_errors(path):
                    while line:  # a disk that is nearly full takes only a part
                        line = line[file.write(line) :]

            yield append


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    lock = FileLock(folder / _LOCK)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
    except Timeout as error:
        raise UsageError(
            f"another process is drawing into {folder}", hint="wait for it, or choose another folder with -o"
        ) from error
    except OSError as error:
        raise write_error(folder, error) from error
    try:
        yield
    finally:
        lock.release()


def _check_settings(line: bytes, settings: dict[str, Any], path: Path) -> int:
    """Check that the first line of a manifest holds these settings; return its length in bytes."""
    hint = f"draw into another folder, or remove {path} to start over"
    found = _parse(line)
    if found is None or found.keys() != settings.keys():
        raise UsageError(f"{path} is not a manifest of cvae generate", hint=hint)
    for key, value in settings.items():
        if found[key] != value:
            raise UsageError(
                f"{path.parent} holds pictures of {key} {_shorten(found[key])}, not {_shorten(value)}", hint=hint
            )
    return len(line)


def _shorten(value: Any) -> str:
    return quoted(value[:40]) if isinstance(value, str) else json.dumps(value)[:40]


def _parse(line: bytes) -> Entry | None:
    """The object in a complete line of a manifest, or None."""
    try:
        entry = json.loads(line) if line.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return entry if isinstance(entry, dict) else None
