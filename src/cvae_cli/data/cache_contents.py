"""What lies in the cache: everything that was downloaded or prepared, with its size and age, and how it is removed."""

import contextlib
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from cvae_cli.data.cache import prepared_home
from cvae_cli.data.prepared import UnusableError, read_prepared
from cvae_cli.errors import UsageError, byte_size, did_you_mean, quoted
from cvae_cli.paths import datasets_dir, weights_dir, write_error

KINDS = {
    "datasets": "downloaded data sets",
    "prepared": "pictures of data sets, ready to be read",
    "vectors": "captions of data sets, encoded",
    "weights": "downloaded weights",
}
"""What the cache holds. All of it is made or downloaded again when it is next needed."""

_VECTORS = "captions-*.f16"
_UNFINISHED = ".part"


@dataclass(frozen=True)
class CachedThing:
    """Something in the cache.

    Attributes:
        name: for people.
        paths: its files, or its folder.
        length: in bytes.
        changed: when it was last written, in seconds since 1970.
    """

    kind: str
    name: str
    paths: tuple[Path, ...]
    length: int
    changed: float

    def to_dict(self) -> dict[str, Any]:
        """The entry in JSON."""
        changed = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(self.changed))
        return {**vars(self), "paths": list(map(str, self.paths)), "changed": changed}

    def row(self) -> list[str]:
        """The row in a table."""
        return [self.kind, self.name, byte_size(self.length), age(time.time() - self.changed)]


def check_kind(kind: str | None) -> None:
    """Raise a UsageError if the cache holds nothing of this kind."""
    if kind is not None and kind not in KINDS:
        raise UsageError(f"no kind {quoted(kind)}.{did_you_mean(kind, list(KINDS))}", hint=f"kinds: {', '.join(KINDS)}")


def cache_contents(kind: str | None = None) -> list[CachedThing]:
    """Return what is in the cache, sorted by kind and name.

    Args:
        kind: a name of `KINDS`; all if absent.

    Raises:
        UsageError: there is no such kind.
    """
    check_kind(kind)
    found = [*_datasets(), *_prepared(), *_weights()]
    return sorted(
        (each for each in found if kind in {None, each.kind}),
        key=lambda each: (list(KINDS).index(each.kind), each.name),
    )


def clear(thing: CachedThing) -> bool:
    """Remove something from the cache. Return False if another process is making it: then it stays.

    Raises:
        UsageError: it cannot be removed.
    """
    place = thing.paths[0] if thing.kind != "vectors" else thing.paths[0].parent
    own = place.with_name(place.name.removesuffix(_UNFINISHED) + ".lock")
    locks = [own, *(place.glob("**/*.lock") if thing.kind == "datasets" else ())]
    try:
        with contextlib.ExitStack() as stack:
            for lock in locks:
                stack.enter_context(FileLock(lock, timeout=0))
            for path in thing.paths:
                shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
            own.unlink(missing_ok=True)
    except Timeout:
        return False
    except OSError as error:
        raise write_error(place, error, hint="CVAE_HOME puts the cache elsewhere") from error
    return True


def age(seconds: float) -> str:
    """Return a time span in words, rounded down."""
    for unit, length in {"day": 86_400, "hour": 3600, "minute": 60}.items():
        if (number := int(seconds // length)) >= 1:
            return f"{number:,} {unit}{'s' if number > 1 else ''}"
    return "under a minute"


def _datasets() -> Iterator[CachedThing]:
    yield from (_thing("datasets", folder.name, folder) for folder in _inside(datasets_dir()) if folder.is_dir())


def _prepared() -> Iterator[CachedThing]:
    for folder in filter(Path.is_dir, _inside(prepared_home())):
        name = _name(folder)
        vectors = sorted([*folder.glob(_VECTORS), *folder.glob(f"{_VECTORS}.digest")])
        rest = [path for path in folder.iterdir() if path not in vectors]
        if rest:
            pixels = _thing("prepared", name, *rest)
            yield CachedThing("prepared", name, (folder,), pixels.length, pixels.changed)
        else:  # a preparation has just begun, or was interrupted as it began
            yield CachedThing("prepared", name, (folder,), 0, folder.stat().st_mtime)
        if vectors:
            yield _thing("vectors", f"captions of {name}", *vectors)


def _name(folder: Path) -> str:
    try:
        about = read_prepared(folder)
    except UnusableError:
        return folder.name
    return f"{about.name or folder.name} {about.split} {about.size}x{about.size}"


def _weights() -> Iterator[CachedThing]:
    for path in _inside(weights_dir()):
        if path.is_file() and path.suffix != ".lock":
            yield _thing("weights", path.name, path)


def _inside(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


def _thing(kind: str, name: str, *paths: Path) -> CachedThing:
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    states = [file.stat() for file in files]
    changed = max((state.st_mtime for state in states), default=0.0) or paths[0].stat().st_mtime
    return CachedThing(kind, name, paths, sum(state.st_size for state in states), changed)
