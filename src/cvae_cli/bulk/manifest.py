"""What vouches for the pictures in a folder: `manifest.jsonl`.

Its first line holds the settings that the pictures depend on; then comes a line for each file that is finished, in the
order of drawing. So what is finished is always a beginning of all, and drawing goes on behind it.
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

Line = dict[str, Any]
"""A finished file: its name, and the prompt and the sample's number of its (last) picture; of a shard also how many
pictures it has."""

NAME = "manifest.jsonl"
_LOCK = ".lock"
_DRAFT = re.compile(r"\.\d+(-.*)?\.(png|webp|tar)\.\d+\.tmp")  # of a file that a killed process was writing


@dataclass(frozen=True)
class Finished:
    """What a manifest says: how many files and pictures are finished, and the last line.

    Attributes:
        length: of the lines that say so, in bytes; 0 where there is no manifest.
    """

    files: int = 0
    pictures: int = 0
    last: Line | None = None
    length: int = 0


def read(folder: Path, settings: dict[str, Any]) -> Finished:
    """What is finished in a folder; a torn last line, which a killed process leaves, does not count.

    Raises:
        UsageError: the manifest there is of other settings, or of another program.
    """
    path = folder / NAME
    if not path.exists():
        return Finished()
    files = pictures = 0
    last = None
    with path.open("rb") as file:
        length = _check(file.readline(), settings, path)
        for content in file:
            line = _parsed(content)
            if line is None or not isinstance(line.get("prompt"), str) or "sample" not in line:
                break
            files, pictures, last = files + 1, pictures + line.get("pictures", 1), line
            length += len(content)
    return Finished(files, pictures, last, length)


def files_in(folder: Path) -> Iterator[str]:
    """The names of the finished files in a folder."""
    with (folder / NAME).open("rb") as file:
        next(file)
        for content in file:
            yield json.loads(content)["file"]


@contextmanager
def appending(folder: Path, finished: Finished, settings: dict[str, Any]) -> Iterator[Callable[[Line], None]]:
    """Yield what appends a line behind what is `finished`; nobody else draws into the folder meanwhile.

    Raises:
        UsageError: another process draws into it, or it cannot be written.
    """
    path = folder / NAME
    with _alone(folder):
        if read(folder, settings) != finished:
            raise UsageError(f"another process has just drawn into {folder}", hint="give the same command again")
        for draft in folder.iterdir():
            if _DRAFT.fullmatch(draft.name):
                draft.unlink()
        if not finished.length:
            write_text(path, json.dumps(settings) + "\n")
        with path.open("ab", buffering=0) as file:
            if finished.length:
                file.truncate(finished.length)

            def append(line: Line) -> None:
                content = json.dumps(line).encode() + b"\n"
                with name_in_errors(path):
                    while content:  # a disk that is nearly full takes a part
                        content = content[file.write(content) :]

            yield append


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
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


def _check(content: bytes, settings: dict[str, Any], path: Path) -> int:
    """The length of the first line of a manifest, which must have these settings."""
    hint = f"draw into another folder, or remove {path} to begin anew"
    theirs = _parsed(content)
    if theirs is None or theirs.keys() != settings.keys():
        raise UsageError(f"{path} is not a manifest of cvae generate", hint=hint)
    for key, ours in settings.items():
        if theirs[key] != ours:
            raise UsageError(
                f"{path.parent} holds pictures of {key} {_said(theirs[key])}, not {_said(ours)}", hint=hint
            )
    return len(content)


def _said(value: Any) -> str:
    return quoted(value[:40]) if isinstance(value, str) else json.dumps(value)[:40]


def _parsed(content: bytes) -> Line | None:
    """A whole line of the manifest as it was written, or None."""
    try:
        line = json.loads(content) if content.endswith(b"\n") else None
    except (ValueError, RecursionError):
        return None
    return line if isinstance(line, dict) else None
