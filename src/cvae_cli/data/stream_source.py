"""Open a stream: read the beginning of the shards, which has the validation pictures and tells what to expect."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import UInt8

from cvae_cli.data.catalog import find_source
from cvae_cli.data.conditions import Captions, Labels, make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.losses import Losses
from cvae_cli.data.shard_classes import class_indices, find_classes, names_beside
from cvae_cli.data.shard_names import shard_count
from cvae_cli.data.shard_reader import Picture, read_shard
from cvae_cli.data.shard_samples import MISSING, is_for_tests
from cvae_cli.data.sharded import Sharded
from cvae_cli.data.stream import Stream
from cvae_cli.errors import CvaeError, UsageError
from cvae_cli.events import Callback, Notice, Progress, Summary
from cvae_cli.pictures.opening import open_content

_HEAD = 256  # training pictures that stand for all of them before the training begins


def check_stream(name: str) -> Sharded:
    """Return the source of a data set that can be streamed.

    Raises:
        UsageError: it cannot.
        MissingError: more than 1% of its shards are missing on this machine.
    """
    source = find_source(name)
    if not isinstance(source, Sharded):
        raise UsageError(
            f"{source.short_name} cannot be streamed: only shards can (webdataset:PATTERN)",
            hint="leave out --stream: then its pictures are prepared in the cache once",
        )
    _count_missing(source, 1).check()
    return source


def describe_stream(name: str) -> list[str]:
    """Return lines on what would be streamed; see `check_stream`."""
    source = check_stream(name)
    shards = source.shards_of("train")
    told = "classes" if source.has_classes() else "captions"
    return [f"{name}: {shard_count(shards)} of pictures with {told}, which are read while the training goes on"]


def open_stream(
    name: str,
    *,
    size: int | None = None,
    limit: int | None = None,
    holdout: int = 2000,
    buffer: int = 10_000,
    readers: int = 4,
    callback: Callback,
) -> tuple[Dataset, Dataset]:
    """Return the training pictures of shards as a stream, and those to validate on.

    Of shards whose names say no `val`, a tenth of the pictures of the first ones is held out for validation.

    Args:
        name: `webdataset:PATTERN`.
        size: pixels a side; 64 when absent.
        limit: the number of pictures to learn from and to validate on, the first ones; all when absent.
        holdout: pictures to validate on, at most a tenth.
        buffer: pictures in the shuffle buffer.
        readers: processes that read and decode.

    Returns:
        the first few training pictures, with the stream of all, and the validation pictures.

    Raises:
        UsageError: the data set cannot be streamed, or has nothing to learn from.
        MissingError, CorruptError: more than 1% of the pictures cannot be read.
    """
    source = check_stream(name)
    shards = source.shards_of("train")
    held_out = 0 if source.validation_split() else min(holdout, max(1, limit // 10) if limit else holdout)
    has_classes, pixels = source.has_classes(), source.image_shape(size).size
    head: list[Picture] = []
    validation: list[Picture] = []
    labels: set[str] = set()
    lost: list[tuple[str, str, int]] = []
    whole = largest = seen = 0  # pictures in the first shard that is whole, and in the largest one; shards
    for shard in shards:
        callback(Progress("reading the first shards", len(validation), held_out or None))
        lost.clear()
        n, seen = 0, seen + 1
        for picture in read_shard(shard.address, shard.name, 0, has_classes, lambda *told: lost.append(told)):
            n = picture.number + 1
            labels.update(picture.texts if has_classes else ())
            file = shard.name.rpartition("/")[2]
            if source.is_divided and is_for_tests(file, picture.number):
                continue
            if held_out and is_for_tests(file, picture.number, offset=1):
                validation.append(picture)
            elif len(head) < _HEAD:
                head.append(picture)
        whole, largest = whole or (0 if lost else n), max(largest, n)
        if head and whole and len(validation) >= held_out:
            break
    each = whole or largest
    if not head or (held_out and not validation):
        raise UsageError(f"{name} has too few pictures to learn from")
    losses = _count_missing(source, each)
    for note in losses.notes():
        callback(Notice(f"{source.short_name}: {note}"))
    learned = each * (9 if source.is_divided else 10) // 10
    pictures, quota = learned * len(shards) - len(validation), None
    if limit is not None and limit - held_out < pictures:
        pictures = max(1, limit - held_out)
        shards = shards[: max(seen, -(-limit // learned))]
        earlier = len(shards) - 1
        quota = max(1, pictures - learned * earlier + len(validation) * min(earlier, seen) // seen)
    stream = Stream(
        name=source.short_name,
        shards=tuple((shard.address, shard.name) for shard in shards),
        has_classes=has_classes,
        divided=source.is_divided,
        validated=seen if held_out else 0,
        quota=quota,
        each=each,
        pictures=pictures,
        size=pixels,
        buffer=buffer,
        readers=readers,
    )
    classes = names_beside(shards[0]) if has_classes else None

    def dataset(split: str, some: Sequence[Picture]) -> Dataset:
        chosen, rows = _decode(some, pixels)
        told: Labels | Captions = make_captions([picture.texts for picture in chosen])
        if has_classes:
            known = find_classes(labels, classes, source.short_name)
            told = Labels(class_indices([picture.texts[0] for picture in chosen], known, source.short_name), known)
        return dataset_from_pixels(source.full_name, split, rows, told, "not stated")

    callback(Summary(f"{name}: about {pictures:,} training pictures, streamed from {shard_count(shards)}"))
    return replace(dataset("train", head), stream=stream), dataset("validation", validation[:held_out] or head)


def _count_missing(source: Sharded, each: int) -> Losses:
    """Count the shards that should be on this machine and are not, each as `each` pictures.

    Raises:
        MissingError: they are more than 1%.
    """
    shards = source.shards_of("train")
    losses = Losses(source.short_name, each * len(shards))
    for shard in shards:
        if shard.is_missing():
            losses.add(shard.name, MISSING, each)
    losses.check()
    return losses


def _decode(pictures: Sequence[Picture], size: int) -> tuple[list[Picture], UInt8[np.ndarray, "n s s 3"]]:
    """Return the pictures that can be decoded, and their pixels."""
    sound: list[Picture] = []
    pixels = np.empty((len(pictures), size, size, 3), np.uint8)
    for picture in pictures:
        with contextlib.suppress(CvaeError):
            pixels[len(sound)] = np.asarray(open_content(picture.content, picture.name, size=size, channels=3))
            sound.append(picture)
    return sound, pixels[: len(sound)]
