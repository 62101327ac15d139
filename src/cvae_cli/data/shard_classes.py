"""The classes of pictures in shards: numbers or names in `.cls` files, and a list of names beside the shards."""

import contextlib
from collections.abc import Iterable, Sequence

import numpy as np

from cvae_cli.config.condition import LabelClass
from cvae_cli.data.addresses import open_place
from cvae_cli.data.conditions import name_classes
from cvae_cli.data.shard_names import Shard
from cvae_cli.errors import CorruptError

LAYOUTS = """\
beside each picture, a file of the same name says what it shows:
  .txt with its captions, one a line
  .json with "caption", "text" or "prompt"
  .cls with the number or the name of its class; classnames.txt beside the shards may name the numbers"""
_FILES = ("classnames.txt", "classes.txt")
_MAX_CLASSES = 100_000


def names_beside(shard: Shard) -> list[str] | None:
    """Return the names of the classes, a line each, that a file beside a shard or in the folder around has."""
    folder = shard.address.rpartition("/")[0]
    for place in (f"{each}/{file}" for each in (folder, folder.rpartition("/")[0]) for file in _FILES):
        lines: list[str] = []
        with contextlib.suppress(Exception), open_place(place) as file:  # there may be none, or a server says so
            lines = file.read().decode("utf-8-sig").splitlines()
        if names := [line.strip() for line in lines if line.strip()]:
            return names
    return None


def find_classes(labels: Iterable[str], names: Sequence[str] | None, where: str) -> tuple[LabelClass, ...]:
    """Return the classes of pictures.

    Args:
        labels: what the files of the pictures say.
        names: of the classes, by number, if a file beside the shards has them.
        where: the data set, for messages.

    Raises:
        UsageError: no prompt could tell two names apart.
        CorruptError: a label is a number that no class has.
    """
    if names is None:
        seen = set(labels)
        if not all(label.isdecimal() for label in seen):
            names = sorted(seen)
        elif (largest := max(map(int, seen))) < _MAX_CLASSES:
            names = [str(number) for number in range(largest + 1)]
        else:
            raise CorruptError(f"{where}: {largest} is too large for the number of a class")
    return name_classes(names, where)


def class_index(label: str, classes: Sequence[LabelClass], where: str) -> int:
    """Return the number of the class that a label means.

    Raises:
        CorruptError: no class has this number or name.
    """
    if label.isdecimal() and int(label) < len(classes):
        return int(label)
    found = next((number for number, each in enumerate(classes) if each.name == label), None)
    if found is None:
        raise CorruptError(
            f'{where}: a picture is of the class "{label}", which is none of {len(classes):,}',
            hint="classnames.txt beside the shards names all classes, one a line",
        )
    return found


def class_indices(labels: Sequence[str], classes: Sequence[LabelClass], where: str) -> "np.ndarray":
    """Return the number of the class of each picture; see `class_index`."""
    known = {label: class_index(label, classes, where) for label in set(labels)}
    return np.array([known[label] for label in labels], np.int64)
