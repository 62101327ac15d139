"""Which tar files a pattern names: on this machine, or at any address that fsspec opens."""

import glob
import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice, takewhile
from pathlib import Path

from cvae_cli.data.addresses import is_address, list_addresses, path_of
from cvae_cli.data.folder_splits import split_of
from cvae_cli.data.folder_tree import walk
from cvae_cli.data.shards import check_archive
from cvae_cli.errors import MissingError, UsageError

_MAX_SHARDS = 1_000_000
_RANGE = re.compile(r"\{(-?\d{1,18})\.\.(-?\d{1,18})")
_EXAMPLE = "for example:  webdataset:shards/{000000..000999}.tar, webdataset:'shards/*.tar' or webdataset:shards"


@dataclass(frozen=True)
class Shard:
    """A tar file of pictures.

    Attributes:
        address: its path, or an address for fsspec.
        name: its path from the folder in which all shards lie.
        split: that its name says, or the name of a folder in which not all shards lie; None if none does.
    """

    address: str
    name: str
    split: str | None = None

    @property
    def is_remote(self) -> bool:
        return is_address(self.address)

    def is_missing(self) -> bool:
        """Whether it should be on this machine, and is not."""
        return not self.is_remote and not os.path.exists(self.address)


def find_shards(pattern: str) -> tuple[Shard, ...]:
    """Return the shards that a pattern names, in its order; those of braces need not exist.

    Args:
        pattern: a path or an address of `.tar` files with `{000..999}`, `{a,b}` and `*`, or a folder of them.

    Raises:
        UsageError: the pattern cannot be used.
        MissingError: none of the files exists, or there is no such folder.
    """
    if not pattern:
        raise UsageError("webdataset: names no shards", hint=_EXAMPLE)
    if pattern.startswith("pipe:"):
        raise UsageError("webdataset: takes paths and addresses, not commands (pipe:)", hint=_EXAMPLE)
    addresses = list(dict.fromkeys(found for each in _braces(pattern) for found in _existing(each)))
    for address in addresses:
        check_archive(Path(path_of(address)))
    if not any(is_address(address) or os.path.exists(address) for address in addresses):
        raise MissingError(f"no shard {pattern}", hint=_EXAMPLE)
    parts = [address.partition("?")[0].split("/") for address in addresses]
    n = len(list(takewhile(lambda folders: len(set(folders)) == 1, zip(*(each[:-1] for each in parts), strict=False))))
    names = ["/".join(each[n:]) for each in parts]
    return tuple(map(Shard, addresses, names, _splits(names)))


def _braces(pattern: str) -> list[str]:
    """Return what a pattern stands for when its braces are written out."""
    from braceexpand import braceexpand

    if math.prod(abs(int(last) - int(first)) + 1 for first, last in _RANGE.findall(pattern)) > _MAX_SHARDS:
        raise UsageError(f"webdataset:{pattern} names more than {_MAX_SHARDS:,} shards", hint=_EXAMPLE)
    try:
        return list(islice(braceexpand(pattern), _MAX_SHARDS))
    except ValueError as error:
        raise UsageError(f"webdataset:{pattern}: the braces do not match", hint=_EXAMPLE) from error


def _existing(place: str) -> list[str]:
    """Return the files that a place with `*`, or a folder, stands for; a place of one file as it is."""
    if is_address(place):
        return list_addresses(place)
    place = os.path.expanduser(place)
    if os.path.isdir(place):
        found = [os.path.join(place, file) for file in walk(Path(place)) if file.lower().endswith(".tar")]
        if not found:
            raise MissingError(f"{place} holds no .tar file", hint=_EXAMPLE)
        return found
    return sorted(glob.glob(place, recursive=True)) if glob.has_magic(place) else [place]


def _splits(names: list[str]) -> list[str | None]:
    """Return for each shard the split that its name says, or that of a folder; None for all if one says none.

    The folders around all shards say nothing: they are the user's.
    """
    by_name = [split_of(name.rpartition("/")[2].removesuffix(".tar")) for name in names]
    by_folder = [next(filter(None, map(split_of, name.split("/")[:-1])), None) for name in names]
    return next((splits for splits in (by_name, by_folder) if None not in splits), [None] * len(names))


def shard_count(shards: Sequence[Shard]) -> str:
    """Return `1 shard` or `1,000 shards`."""
    return f"{len(shards):,} shard{'s' if len(shards) != 1 else ''}"
