"""`SHA256SUMS`: the digest of every file of a model, in a folder of its own; `sha256sum -c SHA256SUMS` reads it too.

The file is removed before anything changes and written last, so at any moment it fits the others or is absent. A model
of an earlier version has none: of that one only the weights can be verified.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from cvae_cli.errors import CorruptError
from cvae_cli.paths import write_text
from cvae_cli.weights.download import file_sha256

SUMS = "SHA256SUMS"
_LINE = re.compile(r"([0-9a-f]{64})  ([\w.-]+)\n")


def write_sums(folder: Path, sums: Mapping[str, str]) -> None:
    """Write the digests of files, by their names."""
    write_text(folder / SUMS, render_sums(sums))


@contextmanager
def changing(folder: Path, files: Sequence[str]) -> Iterator[None]:
    """Bring the digests of `files` up to date after a block that changes them; those of others are kept.

    Raises:
        CorruptError: the digests are damaged.
    """
    known = read_sums(folder)
    (folder / SUMS).unlink(missing_ok=True)
    yield
    if known is not None:
        write_sums(folder, known | {name: file_sha256(folder / name) for name in files})


def accept(folder: Path, files: Sequence[str]) -> None:
    """Record those of `files` that exist as they are now."""
    write_sums(folder, {name: file_sha256(folder / name) for name in files if (folder / name).is_file()})


def read_sums(folder: Path) -> dict[str, str] | None:
    """Return the digest of each file of a model; None if there are no digests.

    Raises:
        CorruptError: the file of the digests is not as it was written.
    """
    path = folder / SUMS
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    sums = {name: digest for digest, name in _LINE.findall(text)}
    if text != render_sums(sums) or not sums:
        raise CorruptError(f"{path} is damaged", hint="copy or download the model again")
    return sums


def damaged_files(folder: Path) -> list[str]:
    """Return what is wrong with each file that does not have its digest; nothing without digests.

    Raises:
        CorruptError: the digests themselves are damaged.
    """
    problems = []
    for name, digest in (read_sums(folder) or {}).items():
        if not (folder / name).is_file():
            problems.append(f"{name} is missing")
        elif file_sha256(folder / name) != digest:
            problems.append(f"{name} does not have its digest")
    return problems


def render_sums(sums: Mapping[str, str]) -> str:
    """Return the content of `SHA256SUMS`, given the digest of each file."""
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
