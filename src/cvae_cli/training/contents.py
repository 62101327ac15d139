"""What the folder of a run consists of, so that nothing else in it is ever removed.

A run is known by its mark, a file that only `cvae train` writes. A `recipe.toml` is no mark: users write recipes of
their own, and keep them beside everything else of a project.
"""

import contextlib
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import FILES, STAGES
from cvae_cli.paths import draft_of, write_text

_MARK = "run.json"
_MARK_CONTENT = {"kind": "cvae run", "format": 1}

LOG_FOLDER = "tensorboard"
"""The folder of the event files that TensorBoard reads."""

_STAGE = rf"(({'|'.join(STAGES)})/)*"
_FOLDER = re.compile(rf"{_STAGE}({'|'.join(('samples', 'state', 'model', 'last', LOG_FOLDER, *STAGES))})")
"""The folders in which these files lie; in that of a further training is all that is in a run."""
_MODEL_FILE = "|".join(map(re.escape, FILES))
_EVENT_FILE = r"events\.out\.tfevents\.[^/]+"
_FILE = re.compile(
    rf"{_STAGE}({re.escape(_MARK)}|recipe\.toml|data\.json|metrics\.jsonl|samples/epoch-\d+\.png"
    rf"|state/(previous-)?training\.safetensors|(model|last)/({_MODEL_FILE})|{LOG_FOLDER}/{_EVENT_FILE})"
)
"""The files that a run consists of, by their place in its folder."""

_MAX_HEADER = 10_000_000  # bytes of a checkpoint's header that are read
_MAX_NAMED = 3  # foreign files in a message


def is_run(folder: Path) -> bool:
    """Whether a folder is a run: it has the mark, or what a run of a version without a mark has."""
    is_marked = _read_json(folder / _MARK) == _MARK_CONTENT
    return is_marked or ((folder / "recipe.toml").is_file() and (_has_checkpoint(folder) or _has_metrics(folder)))


def is_event_file(name: str) -> bool:
    """Whether a file of this name is one that TensorBoard reads."""
    return re.fullmatch(_EVENT_FILE, name) is not None


def write_mark(folder: Path) -> None:
    """Mark a folder as a run."""
    if _read_json(folder / _MARK) != _MARK_CONTENT:
        write_text(folder / _MARK, json.dumps(_MARK_CONTENT) + "\n")


def is_used(folder: Path) -> bool:
    """Whether there is anything in a folder but hidden files, such as a lock."""
    return folder.exists() and any(not path.name.startswith(".") for path in folder.iterdir())


def check_nothing_else(folder: Path) -> None:
    """Raise a UsageError that names what the folder of a run holds besides the run. Hidden files are left in peace."""
    others = [place for place, path in _walk(folder) if not _is_ours(place, path) and not path.name.startswith(".")]
    if others:
        more = f" and {len(others) - _MAX_NAMED:,} more" if len(others) > _MAX_NAMED else ""
        raise UsageError(
            f"{folder} is not only a run: {', '.join(others[:_MAX_NAMED])}{more} would be lost",
            hint="move that away first, or choose another folder with --out",
        )


def remove_run(folder: Path) -> None:
    """Remove the files of a run, except its mark, and its folders.

    Raises:
        UsageError: there is something else in the folder. Then nothing is removed.
    """
    check_nothing_else(folder)
    for place, path in list(_walk(folder)):
        if _is_ours(place, path) and place != _MARK:
            path.unlink()
    _remove_folders(folder)


def _remove_folders(folder: Path, inside: str = "") -> None:
    """Remove the empty folders of a run, the inner ones first."""
    for path in list(folder.iterdir()):
        if _is_folder(inside + path.name, path):
            _remove_folders(path, inside + path.name + "/")
            with contextlib.suppress(OSError):  # it holds hidden files
                path.rmdir()


def remove_mark(folder: Path) -> None:
    """Remove what `remove_run` leaves: the mark, the lock, and the folder if it is empty then."""
    for name in (_MARK, ".lock"):
        (folder / name).unlink(missing_ok=True)
    with contextlib.suppress(OSError):  # it holds hidden files
        folder.rmdir()


def remove_drafts(folder: Path) -> None:
    """Remove what killed processes have left of files that they were writing. The caller must hold the run's lock."""
    for place, path in list(_walk(folder)):
        if _is_draft(place):
            path.unlink()


def _walk(folder: Path, inside: str = "") -> Iterator[tuple[str, Path]]:
    """Yield what is in a run and in its own folders: the place inside the run, and the path. Links are not followed."""
    for path in sorted(folder.iterdir()):
        place = inside + path.name
        if _is_folder(place, path):
            yield from _walk(path, place + "/")
        else:
            yield place, path


def _is_folder(place: str, path: Path) -> bool:
    return bool(_FOLDER.fullmatch(place)) and path.is_dir() and not path.is_symlink()


def _is_ours(place: str, path: Path) -> bool:
    return bool(_FILE.fullmatch(place) or _is_draft(place)) and (path.is_symlink() or not path.is_dir())


def _is_draft(place: str) -> bool:
    inside, slash, name = place.rpartition("/")
    target = draft_of(name)
    return target is not None and bool(_FILE.fullmatch(inside + slash + target))


def _has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint: a safetensors file whose header says how far a training is."""
    try:
        with (folder / "state" / "training.safetensors").open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(min(length, _MAX_HEADER)))
        position = json.loads(header["__metadata__"]["position"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return False
    return isinstance(position, dict) and {"epoch", "batch", "step"} <= position.keys()


def _has_metrics(folder: Path) -> bool:
    """Whether there are the metrics of a training's epochs."""
    try:
        with (folder / "metrics.jsonl").open("rb") as file:
            line = json.loads(file.readline(_MAX_HEADER))
    except (OSError, ValueError, RecursionError):
        return False
    valid = line.get("valid") if isinstance(line, dict) else None
    return isinstance(valid, dict) and "negative_elbo" in valid and {"epoch", "step", "train", "seconds"} <= line.keys()


def _read_json(path: Path) -> Any:
    try:
        with path.open("rb") as file:
            return json.loads(file.read(1000))
    except (OSError, ValueError, RecursionError):
        return None
