"""The vectors of a data set's captions: computed once, kept in a file beside the prepared pictures."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from cvae_cli.data.cache import append, require_space
from cvae_cli.data.conditions import Captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.paths import write_error
from cvae_cli.text.encoder import TextEncoder

_BLOCK = 4096  # captions encoded, and written, at a time
_MOST_UNKNOWN = 0.01  # of all captions


def with_vectors(
    dataset: Dataset,
    encoder: TextEncoder,
    *,
    callback: Callback = ignore,
) -> Dataset:
    """The data set with a float16 vector for each of its captions.

    Vectors of pictures that live in the cache are kept there too, in a file mapped when it is read; one that was not
    finished is gone on with. Of a part of a data set only its own captions are encoded, and not kept. A caption with
    nothing in it that the encoder knows has the vector 0.

    Raises:
        UsageError: more than 1% of the captions say nothing to the encoder.
    """
    captions = dataset.conditions
    assert isinstance(captions, Captions)
    is_part = int(captions.count.sum()) < len(captions.sentences)
    if is_part:
        captions = captions.compact()
    if dataset.cache is None or is_part:
        unknown: list[str] = []
        vectors = np.concatenate(list(_blocks(captions, encoder, 0, unknown)))
        _say(unknown, callback)
    else:
        path = dataset.cache / f"captions-{_key(captions, encoder)}.f16"
        try:
            with FileLock(f"{path}.lock"):
                if not _is_whole(path, captions, encoder):
                    _write(path, captions, encoder, callback)
        except OSError as error:
            raise write_error(path, error, hint="CVAE_HOME puts the cache elsewhere") from error
        vectors = np.memmap(path, np.float16, "r").reshape(len(captions.sentences), encoder.settings.width)
    return replace(dataset, conditions=replace(captions, vectors=vectors, encoder=encoder.settings))


def _write(path: Path, captions: Captions, encoder: TextEncoder, callback: Callback) -> None:
    """Encode every caption into `path`, by way of `path.part`, from the last whole block on that is there."""
    part = path.with_name(path.name + ".part")
    row = 2 * encoder.settings.width  # bytes
    total = len(captions.sentences)
    require_space(path.parent, total * row, "what the text encoder makes of the captions")
    here = part.stat().st_size // (row * _BLOCK) * _BLOCK if part.exists() else 0  # captions
    before = np.fromfile(part, np.float16, here * row // 2).reshape(here, -1) if here else ()
    unknown = [captions.sentences[index] for index, vector in enumerate(before) if not vector.any()]
    try:
        for block in _blocks(captions, encoder, here, unknown):
            append(part, block.tobytes(), at=here * row)
            here += len(block)
            callback(Progress("encoding captions", here, total))
    except (OSError, UsageError):  # a full disk, hopeless captions: what is there is of no use
        part.unlink(missing_ok=True)
        raise
    _say(unknown, callback)
    os.replace(part, path)


def _blocks(captions: Captions, encoder: TextEncoder, first: int, unknown: list[str]) -> Iterator[NDArray[np.float16]]:
    """The vectors of the captions from `first` on, block by block.

    Args:
        unknown: captions that say nothing to the encoder; those that are found are added.
    """
    total = len(captions.sentences)
    for start in range(first, total, _BLOCK):
        block = captions.sentences[start : start + _BLOCK]
        try:
            vectors = encoder.encode(block).numpy()
        except UsageError:  # a caption says nothing to it: find out which
            vectors = np.stack([_vector_or_zero(caption, encoder, unknown) for caption in block])
        if len(unknown) > _MOST_UNKNOWN * total:
            raise UsageError(
                f'too many captions say nothing to the text encoder "{encoder.settings.kind}", as {quoted(unknown[0])}',
                hint="static reads English; clip, a larger download, reads more:  --condition clip",
            )
        yield vectors.astype(np.float16)


def _vector_or_zero(caption: str, encoder: TextEncoder, unknown: list[str]) -> NDArray[np.float32]:
    try:
        return encoder.encode([caption]).numpy()[0]
    except UsageError:
        unknown.append(caption)
        return np.zeros(encoder.settings.width, np.float32)


def _say(unknown: list[str], callback: Callback) -> None:
    match len(unknown):
        case 0:
            return
        case 1:
            callback(Notice(f"a caption says nothing to the text encoder: {quoted(unknown[0])}", is_warning=True))
        case n:
            callback(
                Notice(f"{n:,} captions say nothing to the text encoder, as {quoted(unknown[0])}", is_warning=True)
            )


def _is_whole(path: Path, captions: Captions, encoder: TextEncoder) -> bool:
    return path.exists() and path.stat().st_size == 2 * encoder.settings.width * len(captions.sentences)


def _key(captions: Captions, encoder: TextEncoder) -> str:
    """What decides the vectors: the encoder and every caption in order."""
    digest = hashlib.sha256(encoder.settings.sha256.encode())
    for sentence in captions.sentences:
        digest.update(sentence.encode(errors="replace") + b"\0")
    return digest.hexdigest()[:16]
