"""Where files are kept on this machine, and how they are written: completely or not at all."""

import errno
import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
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
    parent folders are created, a link is followed, and a file that is replaced passes on its permissions.

    Raises:
        UsageError: the file cannot be written, or is a folder, a pipe or a device.
    """
    check_writable(path)
    path = Path(os.path.realpath(path))  # Path.resolve fails where links go round in a circle
    with _draft(path, like=path) as draft:
        yield draft.path
        draft.finish()
        os.replace(draft.path, path)


def write_new(path: Path, content: bytes) -> Path:
    """Write a file to `path`, or to the first of `path-2`, `path-3`, ... that is free, and return its path.

    Nothing is ever replaced. Of several processes that write at the same time, each gets a name of its own.

    Raises:
        UsageError: the file cannot be written.
    """
    check_writable(path.parent, folder=True)
    with name_in_errors(path), _draft(path) as draft:
        draft.path.write_bytes(content)
        draft.finish()
        names = (path if number == 1 else path.with_stem(f"{path.stem}-{number}") for number in count(1))
        return next(name for name in names if draft.take(name))


def draft_of(name: str) -> str | None:
    """The name of the file that a process was writing when it was killed and left a file of this name; or None.

    Earlier versions called it `.FILE.PID.tmp`.
    """
    match = re.fullmatch(r"\.(.+)\.(cvae-[0-9a-f]{16}|\d+)\.tmp", name, re.DOTALL)
    return match[1] if match else None


@dataclass(frozen=True)
class _Draft:
    """A file that is being written.

    Attributes:
        mode: the permissions that it is to have.
    """

    path: Path
    mode: int

    def finish(self) -> None:
        """Put the content on the disk, and set the permissions: some writers make a file that only its owner reads."""
        with self.path.open("rb+") as file:
            os.fsync(file.fileno())
        self.path.chmod(self.mode)

    def take(self, name: Path) -> bool:
        """Give the draft this name as well, and return True; or return False if there is something of this name."""
        try:
            os.link(self.path, name)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            try:
                name.touch(exist_ok=False)
            except FileExistsError:
                return False
            os.replace(self.path, name)
        return True


@contextmanager
def _draft(path: Path, *, like: Path | None = None) -> Iterator[_Draft]:
    """Yield a new, empty file beside `path`, and remove what is left of it.

    Its name cannot be guessed, and whatever has this name already, such as a link, is neither opened nor followed.

    Args:
        like: a file whose permissions it is to have, where this file exists.
    """
    draft = path.with_name(f".{_shorten(path.name)}.cvae-{os.urandom(8).hex()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except OSError as error:
        raise write_error(path, error) from error
    try:
        mode = stat.S_IMODE((like if like and like.exists() else draft).stat().st_mode)
        draft.chmod(mode | stat.S_IWUSR)  # before there is any content
        yield _Draft(draft, mode)
    finally:
        draft.unlink(missing_ok=True)


def _shorten(name: str) -> str:
    """The start of a file's name, in 150 bytes, which leaves room for the rest of the name of a draft."""
    return os.fsencode(name)[:150].decode(errors="ignore")


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
            if not os.access(path, os.W_OK):
                raise PermissionError
        folders = [path, *path.absolute().parents] if folder else path.absolute().parents
        nearest = next(each for each in folders if each.exists())
        if not nearest.is_dir():
            raise NotADirectoryError
        if not os.access(nearest, os.W_OK):
            raise PermissionError
    except OSError as error:
        raise write_error(path, error) from error


def check_regular(path: Path) -> None:
    """Raise a UsageError if `path` is a pipe or a device: opening or reading it may never end."""
    mode = path.stat().st_mode
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise UsageError(f"cannot read {path}: it is a pipe or a device")


def write_bytes(path: Path, *content: bytes | memoryview) -> None:
    """Write a file, given in one or more pieces, atomically (see `atomic_path`)."""
    with name_in_errors(path), atomic_path(path) as draft, draft.open("wb") as file:
        file.writelines(content)


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
        case OSError(errno=errno.EROFS | errno.ENAMETOOLONG | errno.ELOOP):
            reason = (error.strerror or "").lower()
        case _:
            return error
    name = str(path) if len(str(path)) <= 200 else str(path)[:200] + "..."
    return UsageError(f"cannot write {name}: {reason}", hint=hint)
