"""The pictures in tar files, as WebDataset writes them."""

import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from cvae_cli.data.whole import Place
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.pictures.kinds import is_picture

_PACKED = (".zip", ".tgz", ".gz", ".bz2", ".xz", ".zst", ".7z", ".rar")


def check_archive(path: Path) -> None:
    """Raise a UsageError if a file is no tar file whose members can be read where they lie."""
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
        try:
            length = path.stat().st_size
            with tarfile.open(path, "r:") as tar:
                for member in tar:
                    if not (member.isreg() and is_picture(member.name) and not _is_hidden(member.name)):
                        continue
                    if member.offset_data + member.size > length:
                        raise CorruptError(f"{path} is damaged: it ends within {member.name}")
                    yield Place(f"{path}: {member.name}", str(path), member.offset_data, member.size)
        except PermissionError as error:
            raise UsageError(f"cannot read {path}: permission denied") from error
        except (tarfile.TarError, EOFError, ValueError) as error:
            raise CorruptError(f"{path} is not a tar file, or a damaged one") from error


def _is_hidden(name: str) -> bool:
    parts = name.removeprefix("./").split("/")
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)
