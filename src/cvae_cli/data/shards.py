"""The files in tar archives that lie on this machine, such as the shards of WebDataset: where each of them begins."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from cvae_cli.data.whole import Place
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.paths import check_regular
from cvae_cli.pictures.kinds import is_picture

_PACKED = (".zip", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")
_BLOCK = 512  # bytes: the unit of a tar file, which ends with two blocks of zeros


class Member(NamedTuple):
    """A file in an archive: its name, and the bytes of the archive that it takes."""

    name: str
    start: int
    length: int


def check_archive(path: Path) -> None:
    """Raise a UsageError if a file is no tar file whose members can be read where they lie; it need not exist."""
    if path.exists():
        check_regular(path)
    if path.suffix.lower() == ".tar":
        return
    if path.suffix.lower() in _PACKED:
        raise UsageError(f"{path} is packed: its pictures cannot be read where they lie", hint="unpack it first")
    raise UsageError(f"{path} is neither a folder nor a .tar file", hint="give the folder of the pictures")


def list_shards(paths: Sequence[Path]) -> Iterator[Place]:
    """Yield the place of each picture in tar files, in their order.

    Raises:
        CorruptError: a file is not a tar file, or a damaged one.
    """
    for path in paths:
        for name, start, length in members(path):
            if is_picture(name):
                yield Place(f"{path}: {name}", str(path), start, length)


def members(path: Path) -> Iterator[Member]:
    """Yield the files in a tar file, except hidden ones. Of a damaged one, those before the damage come first.

    Raises:
        CorruptError: it is not a tar file, or a damaged one.
    """
    try:
        size = path.stat().st_size
        with tarfile.open(path, "r:") as tar:
            for each in tar:
                if each.offset_data + each.size > size:
                    raise CorruptError(f"{path} is damaged: it ends within {each.name}")
                if each.isreg() and not _is_hidden(each.name):
                    yield Member(each.name, each.offset_data, each.size)
                tar.members = []  # type: ignore[attr-defined]  # which would otherwise grow with the archive
            end = tar.offset
    except PermissionError as error:
        raise UsageError(f"cannot read {path}: permission denied") from error
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise CorruptError(f"{path} is not a tar file, or a damaged one") from error
    with path.open("rb") as file:  # tarfile takes damage after the first member for the end
        file.seek(end)
        if file.read(_BLOCK) != bytes(_BLOCK):
            raise CorruptError(f"{path} is damaged after {end:,} bytes")


def _is_hidden(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
