"""Tar files of pictures, as the data set `webdataset:PATTERN`: `shard_names` says what a pattern may be.

A shard has samples: a picture, and beside it a file of the same name with its captions (`.txt`, a caption a line, or
`.json`, as img2dataset and `cvae generate` write it) or its class (`.cls`).
"""

import os
import tarfile
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from cvae_cli.data.addresses import check_no_key, is_address, open_place
from cvae_cli.data.conditions import Captions, Labels, make_captions
from cvae_cli.data.listing import Listing, note_left_out
from cvae_cli.data.losses import Losses
from cvae_cli.data.shard_classes import LAYOUTS, class_indices, find_classes, names_beside
from cvae_cli.data.shard_listing import Index, copy_of, read_shards
from cvae_cli.data.shard_names import Shard, find_shards, shard_count
from cvae_cli.data.shard_samples import Sample, captions_of, label_of
from cvae_cli.data.source import ListingSource
from cvae_cli.data.whole import Place
from cvae_cli.errors import MissingError, UsageError
from cvae_cli.events import Callback, ignore

_PREFIX = "webdataset:"
_PEEKED = 100  # files at the beginning of a shard, by which captions and classes are told apart


class Sharded(ListingSource):
    """Shards of the user's. Those whose names say no splits are divided into train and test, a tenth of each shard."""

    description = "your own pictures in tar files (WebDataset), here or at an address"
    splits = ("train", "val", "test")

    @property
    def full_name(self) -> str:
        """`webdataset:PATTERN` with an absolute path, or with an address.

        Raises:
            UsageError: a key is written out in the address.
        """
        pattern = self.name.removeprefix(_PREFIX)
        check_no_key(pattern)
        if not pattern or is_address(pattern) or pattern.startswith("pipe:"):
            return self.name
        return _PREFIX + os.path.abspath(os.path.expanduser(pattern))

    @property
    def short_name(self) -> str:
        """The name of the folder in which the shards lie; that of a single shard without its ending."""
        parts = [part for part in self.name.removeprefix(_PREFIX).partition("?")[0].split("/") if part]
        plain = [part for part in parts if not set(part) & set("{}*[]:")]
        if plain and plain[-1] is parts[-1]:
            return plain[-1].removesuffix(".tar")
        return plain[-1] if plain else "shards"

    @cached_property
    def shards(self) -> tuple[Shard, ...]:
        """All shards; see `find_shards`."""
        return find_shards(self.full_name.removeprefix(_PREFIX))

    @property
    def is_divided(self) -> bool:
        """Whether the names of the shards say no splits, so that a tenth of each is for tests."""
        return {shard.split for shard in self.shards} in ({None}, {"train"})

    def find_splits(self) -> tuple[str, ...]:
        if self.is_divided:
            return ("train", "test")
        named = {shard.split for shard in self.shards}
        return tuple(split for split in self.splits if split in named)

    def validation_split(self) -> str | None:
        return "val" if "val" in self.find_splits() else None

    def is_here(self) -> bool:
        return all(not shard.is_remote or copy_of(shard).exists() for shard in self.shards)

    def shards_of(self, split: str) -> list[Shard]:
        """Return the shards with pictures of a split."""
        return [shard for shard in self.shards if self.is_divided or shard.split == split]

    def has_classes(self) -> bool:
        """Return whether the first shard that can be read has classes and no captions."""
        for shard in self.shards:
            place = copy_of(shard)
            try:
                if (found := _peek(str(place) if place.exists() else shard.address)) is not None:
                    return found
            except (OSError, tarfile.TarError):  # counted when all are read
                continue
            except Exception as error:  # the libraries of servers have errors of their own
                raise MissingError(f"{shard.address} cannot be read", hint=" ".join(str(error).split())) from error
        raise UsageError(f"nothing says what the pictures of {self.short_name} show", hint=LAYOUTS)

    def list_pictures(self, split: str, *, data_dir: Path | None = None, callback: Callback = ignore) -> Listing:
        """List the pictures of a split, in the order of the shards.

        Raises:
            UsageError: there are no pictures, or nothing says what they show, or `data_dir` is given.
            MissingError, CorruptError: more than 1% of the pictures cannot be read.
        """
        return self.list_first(split, None, data_dir=data_dir, callback=callback)

    def list_first(
        self, split: str, limit: int | None, *, data_dir: Path | None = None, callback: Callback = ignore
    ) -> Listing:
        """List the pictures of a split; with captions and a limit only those of the first shards."""
        if data_dir is not None:
            raise UsageError("the place of shards is in their name", hint="leave out --data-dir")
        has_classes, shards = self.has_classes(), self.shards_of(split)
        part = split if self.is_divided else None
        losses = Losses(self.short_name, 0)
        read: list[Index] = []
        found: list[tuple[Place, Sample]] = []
        for index in read_shards(shards, losses, callback):
            read.append(index)
            found += [(index.place(sample), sample) for sample in index.part(part)]
            if limit is not None and not has_classes and len(found) >= limit:
                break
        losses.check()
        told = [each for each in found if (each[1].label is not None if has_classes else each[1].captions)]
        if not told:
            raise UsageError(f"the split {split} of {self.short_name} has no picture that can be used", hint=LAYOUTS)
        conditions: Labels | Captions
        if has_classes:
            others = [shard for shard in self.shards if shard not in shards]
            read += read_shards(others, Losses(self.short_name, 0), callback)
            conditions = self._labels([sample for _, sample in told], read)
            what, of_what = f"{len(conditions.classes):,} classes", "a class"
        else:
            conditions = make_captions([sample.captions for _, sample in told])
            what, of_what = "captions", "a caption"
        names = {place.name for place, _ in told}
        untold = [place.name for place, _ in found if place.name not in names]
        notes = note_left_out(untold, f"picture without {of_what}", f"pictures without {of_what}")
        return Listing(
            name=self.full_name,
            split=split,
            root=Path(self.shards[0].address).parent,
            files=tuple(place.name for place, _ in told),
            conditions=conditions,
            licence="not stated",
            summary=f"{split}: {len(told):,} pictures with {what} in {shard_count(shards)}",
            notes=losses.notes() + notes,
            places=tuple(place for place, _ in told),
        )

    def _labels(self, samples: Sequence[Sample], read: Sequence[Index]) -> Labels:
        """Return the classes of samples. Those of all splits count, so that their numbers agree between splits."""
        seen = (sample.label for index in read for sample in index.samples if sample.label is not None)
        classes = find_classes(seen, names_beside(self.shards[0]), self.short_name)
        return Labels(class_indices([sample.label or "" for sample in samples], classes, self.short_name), classes)


def _peek(place: str) -> bool | None:
    """Return whether the first sample of a shard has a class and no captions; None if it has neither."""
    has_class = None
    with open_place(place) as file, tarfile.open(fileobj=file, mode="r|*") as tar:
        for _, member in zip(range(_PEEKED), tar, strict=False):
            ending = member.name.rpartition(".")[2].lower()
            content = tar.extractfile(member)
            if content is None or ending not in {"txt", "caption", "json", "cls"}:
                continue
            parts = {ending: content.read()}
            if captions_of(parts):
                return False
            has_class = True if label_of(parts) is not None else has_class
    return has_class
