"""Where files are kept on this machine, and how they are written: completely or not at all."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cvae_cli.errors import UsageError

DEFAULT_MODEL = "scenes"
"""The bundled model that is used unless another one is named."""


def cache_dir() -> Path:
    """Return the folder of everything downloaded or prepared: `CVAE_HOME`, or the platform's cache directory."""
    if home := os.environ.get("CVAE_HOME"):
        return Path(home).expanduser()
    import platformdirs

    return platformdirs.user_cache_path("cvae-cli", appauthor=False)


def datasets_dir() -> Path:
    """Return the folder of downloaded data sets."""
    return cache_dir() / "datasets"


def weights_dir() -> Path:
    """Return the folder of downloaded weights."""
    return cache_dir() / "weights"


def bundled_dir() -> Path:
    """Return the folder of the models that ship with the package."""
    return Path(__file__).parent / "bundled"


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path` to write to, and rename it to `path` when the block succeeds.

    A reader sees the old file or the new one, never a part of it; after a crash the old file is still there. Missing
    parent folders are created, and a link is followed.

    Raises:
        UsageError: the file cannot be written, or is a folder, a pipe or a device.
    """
    check_writable(path)
    path = path.resolve()
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.touch()
        mode = draft.stat().st_mode
    except OSError as error:
        raise write_error(path, error) from error
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.chmod(mode)  # some writers create files that only their owner may read
        os.replace(draft, path)
    finally:
        draft.unlink(missing_ok=True)


def check_writable(path: Path, *, folder: bool = False) -> None:
    """Raise if `path` cannot be written to. Call this before computing what will be written there.

    Args:
        folder: whether `path` will be a folder with files rather than a file.

    Raises:
        UsageError: `path` is something else, or a folder on its way cannot be written to.
    """
    try:
        if path.is_dir() and not folder:
            raise IsADirectoryError
        if path.exists() and not path.is_dir():
            if folder:
                raise NotADirectoryError
            if not path.is_file():
                raise UsageError(f"cannot write {path}: it is a pipe or a device", hint="-o - writes to stdout")
        nearest = next(parent for parent in [path, *path.absolute().parents] if parent.exists())
        if not nearest.is_dir() and nearest != path:
            raise NotADirectoryError
        if not os.access(nearest, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise write_error(path, error) from error


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically (see `atomic_path`)."""
    with name_in_errors(path), atomic_path(path) as draft:
        draft.write_bytes(content)


@contextmanager
def name_in_errors(path: Path) -> Iterator[None]:
    """Add the path to an OSError of the block that has none, as the error of a failing write."""
    try:
        yield
    except OSError as error:
        if error.filename:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def write_text(path: Path, content: str) -> None:
    """Write a UTF-8 file atomically (see `atomic_path`)."""
    write_bytes(path, content.encode())


def write_error(path: Path, error: OSError, *, hint: str = "choose another place with -o/--out") -> Exception:
    """Return a UsageError for a path that the user must change; for a full disk and the like, `error` itself."""
    match error:
        case PermissionError():
            reason = "permission denied"
        case IsADirectoryError():
            reason = "it is a folder"
        case NotADirectoryError() | FileExistsError():
            reason = "a part of the path is a file"
        case FileNotFoundError():
            reason = "its folder cannot be made"
        case OSError(errno=errno.EROFS | errno.ENAMETOOLONG):
            reason = (error.strerror or "").lower()
        case _:
            return error
    name = str(path) if len(str(path)) <= 200 else str(path)[:200] + "..."
    return UsageError(f"cannot write {name}: {reason}", hint=hint)
