"""Published files of a data set: found in a copy of the user's, or downloaded into the cache and unpacked."""

import os
import re
import shutil
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Progress
from cvae_cli.paths import datasets_dir


def published_file(
    dataset: str, file: str, *, data_dir: Path | None, hint: str, download: Callable[[Path], object]
) -> Path:
    """Return the path of a published file: in the user's copy, or in the cache, where it is downloaded when missing.

    Args:
        dataset: name of the data set, and of its folder in the cache.
        data_dir: the user's copy, if there is one.
        hint: says what the copy should contain.
        download: downloads the file to a path.

    Raises:
        MissingError: the copy does not contain the file, or it cannot be downloaded.
        CorruptError: the downloaded file is not the published one.
    """
    if data_dir is not None:
        if not (data_dir / file).is_file():
            raise MissingError(f"{data_dir} has no {file}", hint=hint)
        return data_dir / file
    path = datasets_dir() / dataset / file
    if not path.exists():
        with way_out(hint):
            download(path)
    return path


@contextmanager
def way_out(hint: str) -> Iterator[None]:
    """Add a hint to the error for files that are missing and cannot be downloaded.

    Args:
        hint: says what a copy of the user's should contain.
    """
    try:
        yield
    except MissingError as error:
        error.add_hint(f"or have a copy:  {hint}")
        raise


def unpack_zip(path: Path, folder: Path, members: str, callback: Callback) -> None:
    """Create `folder` with the matching members of a zip archive. The folder appears only once it is complete.

    Args:
        members: a pattern for the full names of members. The last part of a name becomes the name of the file.

    Raises:
        CorruptError: the archive is damaged, or no member matches. The archive is removed.
    """
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir()
    try:
        with _damage_as_corrupt(path), zipfile.ZipFile(path) as archive:
            chosen = [member for member in archive.infolist() if re.fullmatch(members, member.filename)]
        if not chosen:
            raise CorruptError(f"{path} has none of the files that it should have, and was removed", hint="try again")
        with zipfile.ZipFile(path) as archive:
            for number, member in enumerate(chosen, 1):
                with _damage_as_corrupt(path):
                    content = archive.read(member)
                (part / member.filename.rpartition("/")[2]).write_bytes(content)
                callback(Progress(f"unpacking {path.name}", number, len(chosen)))
        os.replace(part, folder)
    except CorruptError:
        path.unlink()
        raise
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def _damage_as_corrupt(path: Path) -> Iterator[None]:
    """Turn the errors of reading an archive into CorruptErrors. A damaged archive can make `zipfile` raise anything."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise CorruptError(f"{path} is damaged and was removed ({error})", hint="try again") from error
