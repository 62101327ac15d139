"""Encode the captions of a data set once, and keep the vectors in a file beside the prepared pictures."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from cvae_cli.data.building import append, require_space
from cvae_cli.data.conditions import Captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.prepared import is_as_written, write_digest
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.paths import write_error
from cvae_cli.text.encoder import TextEncoder

_BLOCK = 4096  # captions that are encoded and written at a time
_MAX_UNKNOWN = 0.01  # of all captions


def with_vectors(
    dataset: Dataset,
    encoder: TextEncoder,
    *,
    callback: Callback = ignore,
) -> Dataset:
    """Return the data set with a float16 vector for each of its captions.

    If the pictures are in the cache, the vectors are kept there too, in a memory-mapped file; an unfinished file is
    completed. For a part of a data set, only the captions of that part are encoded, and they are not kept. A caption
    without any word that the encoder knows has the vector 0.

    Raises:
        UsageError: more than 1% of the captions have no word that the encoder knows.
    """
    captions = dataset.conditions
    assert isinstance(captions, Captions)
    is_part = int(captions.count.sum()) < len(captions.sentences)
    if is_part:
        captions = captions.compact()
    if dataset.cache is None or is_part:
        unknown: list[str] = []
        vectors = np.concatenate(list(_encode_blocks(captions, encoder, 0, unknown, callback)))
        _notify(unknown, callback)
    else:
        path = dataset.cache / f"captions-{_key(captions, encoder)}.f16"
        try:
            with FileLock(f"{path}.lock"):
                if not _is_complete(path, captions, encoder, callback):
                    _write(path, captions, encoder, callback)
        except OSError as error:
            raise write_error(path, error, hint="CVAE_HOME puts the cache elsewhere") from error
        vectors = np.memmap(path, np.float16, "r").reshape(len(captions.sentences), encoder.settings.width)
    return replace(dataset, conditions=replace(captions, vectors=vectors, encoder=encoder.settings))


def _write(path: Path, captions: Captions, encoder: TextEncoder, callback: Callback) -> None:
    """Encode all captions into `path`, by way of `path.part`, which a later call continues."""
    part = path.with_name(path.name + ".part")
    row = 2 * encoder.settings.width  # bytes
    total = len(captions.sentences)
    require_space(path.parent, total * row, "the vectors of the captions")
    done = part.stat().st_size // (row * _BLOCK) * _BLOCK if part.exists() else 0  # captions in complete blocks
    earlier = np.fromfile(part, np.float16, done * row // 2).reshape(done, -1) if done else ()
    unknown = [captions.sentences[index] for index, vector in enumerate(earlier) if not vector.any()]
    try:
        for block in _encode_blocks(captions, encoder, done, unknown, callback):
            append(part, block.tobytes(), at=done * row)
            done += len(block)
    except (OSError, UsageError):  # the disk is full, or too many captions are unknown
        part.unlink(missing_ok=True)
        raise
    _notify(unknown, callback)
    write_digest(part, path)
    os.replace(part, path)


def _encode_blocks(
    captions: Captions, encoder: TextEncoder, first: int, unknown: list[str], callback: Callback
) -> Iterator[NDArray[np.float16]]:
    """Encode the captions from number `first` on, block by block.

    Args:
        unknown: captions without any word that the encoder knows; those of these blocks are appended.
        callback: receives the progress when the next block is asked for, so after this one has been written.
    """
    total = len(captions.sentences)
    callback(Progress("encoding captions", first, total))
    for start in range(first, total, _BLOCK):
        block = captions.sentences[start : start + _BLOCK]
        vectors = vectors_or_zeros(block, encoder, unknown)
        if len(unknown) > _MAX_UNKNOWN * total:
            raise UsageError(
                f'too many captions have no word that the text encoder "{encoder.settings.kind}" knows, '
                f"such as {quoted(unknown[0])}",
                hint="static reads English; clip, a larger download, reads more:  --condition clip",
            )
        yield vectors.astype(np.float16)
        callback(Progress("encoding captions", start + len(block), total))


def vectors_or_zeros(captions: Sequence[str], encoder: TextEncoder, unknown: list[str]) -> NDArray[np.float32]:
    """Encode captions; those that are unknown are appended to `unknown` and get zeros.

    An encoder refuses all captions because of one that it does not know, so each half is tried on its own.
    """
    try:
        return encoder.encode(captions).numpy()
    except UsageError:
        if len(captions) == 1:
            unknown.append(captions[0])
            return np.zeros((1, encoder.settings.width), np.float32)
    middle = len(captions) // 2
    halves = captions[:middle], captions[middle:]
    return np.concatenate([vectors_or_zeros(half, encoder, unknown) for half in halves])


def _notify(unknown: list[str], callback: Callback) -> None:
    """Send a notice about captions without any word that the encoder knows."""
    match len(unknown):
        case 0:
            return
        case 1:
            callback(Notice(f"the text encoder knows no word of a caption: {quoted(unknown[0])}", is_warning=True))
        case n:
            callback(
                Notice(
                    f"{n:,} captions have no word that the text encoder knows, such as {quoted(unknown[0])}",
                    is_warning=True,
                )
            )


def _is_complete(path: Path, captions: Captions, encoder: TextEncoder, callback: Callback) -> bool:
    """Whether the vectors are there, and as they were written."""
    if not path.exists() or path.stat().st_size != 2 * encoder.settings.width * len(captions.sentences):
        return False
    if not (is_sound := is_as_written(path)):
        callback(Notice(f"the vectors of captions in {path} are damaged, and are encoded again"))
    return is_sound


def _key(captions: Captions, encoder: TextEncoder) -> str:
    """Return a digest of all that determines the vectors: the encoder, and every caption in order."""
    digest = hashlib.sha256(encoder.settings.sha256.encode())
    for sentence in captions.sentences:
        digest.update(sentence.encode(errors="replace") + b"\0")
    return digest.hexdigest()[:16]
