"""The files of a folder of pictures, and which of them nothing reads."""

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from cvae_cli.pictures.kinds import how_to_read

_UNINTERESTING = ("readme", "license", "licence", "thumbs.db", "desktop.ini")  # starts of names, in lower case
_MAX_ENDINGS = 5  # that a note names


def walk(folder: Path, prefix: str = "", parents: frozenset[str] = frozenset()) -> Iterator[str]:
    """Yield every file in a folder and its subfolders, sorted, except hidden ones.

    Links are followed, except to a parent folder, which would never end.

    Args:
        prefix: put before each name.
        parents: the folders around this one.
    """
    real = os.path.realpath(folder)
    if real in parents:
        return
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda entry: entry.name):
            if entry.name.startswith(".") or entry.name == "__MACOSX":
                continue
            if entry.is_dir():
                yield from walk(Path(entry.path), f"{prefix}{entry.name}/", parents | {real})
            else:
                yield prefix + entry.name


def describe_unread(files: list[str]) -> str:
    """Return the numbers of files that are not read, by their endings, or "" when there are none worth telling."""
    names = [file.rpartition("/")[2].lower() for file in files]
    endings = Counter(PurePosixPath(name).suffix for name in names if not name.startswith(_UNINTERESTING))
    parts = []
    for ending, n in endings.most_common(_MAX_ENDINGS):
        remedy = how_to_read(ending)
        parts.append(f"{n:,} {ending or 'without an ending'}" + (f" ({remedy})" if remedy else ""))
    if rest := sum(endings.values()) - sum(n for _, n in endings.most_common(_MAX_ENDINGS)):
        parts.append(f"{rest:,} others")
    return ", ".join(parts)
