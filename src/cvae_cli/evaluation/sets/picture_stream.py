"""The stream of two sets of pictures: from files of any size to batches with their features."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from cvae_cli.data.listing import MAX_LOST
from cvae_cli.data.originals import Originals
from cvae_cli.data.whole import Original
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.evaluation.streams import PictureBatch
from cvae_cli.events import Progress
from cvae_cli.runtime.device import full_precision
from cvae_cli.runtime.distributed import get_world

_WINDOW, _WINDOW_PIXELS = 256, 1 << 25  # pictures, and pixels, that are sorted by size at a time
_BATCH, _BATCH_PIXELS = 128, 1 << 24  # pictures, and pixels, that an extractor is given at a time, at most

_TOLD = ("laid on", "turned", "reduced", "first of")  # changes of a picture that a user may not expect


@dataclass
class Facts:
    """What is known of a set of pictures once they are read.

    Attributes:
        digests: of the files, in order.
        sizes: how many pictures have a width and height.
        problems: why pictures cannot be read.
        changes: what was done to how many pictures.
    """

    digests: list[str] = field(default_factory=list)
    sizes: Counter[tuple[int, int]] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)
    changes: Counter[str] = field(default_factory=Counter)

    def add(self, picture: Original) -> None:
        """Take note of a picture."""
        self.digests.append(picture.sha256)
        if picture.pixels is None:
            if picture.problem:
                self.problems.append(picture.problem)
            return
        height, width = picture.pixels.shape[:2]
        self.sizes[width, height] += 1
        self.changes.update(re.sub(r"of \d+ frames", "of several frames", text) for text in picture.changes)

    @classmethod
    def of(cls, parts: Sequence["Facts"]) -> "Facts":
        """Return the facts of a set from those of its parts."""
        whole = cls()
        for part in parts:
            whole.digests += part.digests
            whole.sizes += part.sizes
            whole.problems += part.problems
            whole.changes += part.changes
        return whole

    @property
    def pictures(self) -> int:
        """How many pictures could be read."""
        return self.sizes.total()

    @property
    def sha256(self) -> str:
        """Identifies the contents, whatever the names and the order of the files."""
        return hashlib.sha256("".join(sorted(self.digests)).encode()).hexdigest()

    def about(self) -> dict[str, Any]:
        """Return the number, sizes and digest of the pictures, for protocols."""
        return {"pictures": self.pictures, "sizes": self.describe_sizes(), "sha256": self.sha256}

    def describe_sizes(self) -> str:
        """Return the widths and heights in a few words."""
        (least, most) = (choose(self.sizes, key=lambda size: size[0] * size[1]) for choose in (min, max))
        texts = [f"{width}x{height}" for width, height in (least, most)]
        return texts[0] if len(self.sizes) == 1 else f"{texts[0]} to {texts[1]}"

    def warnings(self, source: str) -> list[str]:
        """Return sentences about pictures that were left out or changed."""
        told = [
            f"{source}: {n:,} of {self.pictures:,} pictures: {text}"
            for text, n in sorted(self.changes.items())
            if text.startswith(_TOLD)
        ]
        if self.problems:
            lost, total = len(self.problems), len(self.digests)
            told.insert(0, f"{source}: left out {lost:,} of {total:,} pictures, the first: {self.problems[0]}")
        return told


def feed(
    originals: Originals,
    extractors: Sequence[Extractor],
    update: Callable[[PictureBatch], None],
    context: Context,
    *,
    task: str,
) -> Facts:
    """Call `update` with the batches of a set of pictures, see `picture_batches`; return what is known of all pictures.

    Several processes share the pictures. An error in one of them is raised in all.
    """

    def work() -> Facts:
        facts = Facts()
        for batch in picture_batches(originals, extractors, context, facts, task=task):
            update(batch)
        return facts

    return Facts.of(get_world().gather_results(work))


def picture_batches(
    originals: Originals, extractors: Sequence[Extractor], context: Context, facts: Facts, *, task: str
) -> Iterator[PictureBatch]:
    """Yield this process's part of a set of pictures, in order, with the features of each; report the progress.

    Pictures of the same size go through an extractor together. The order is that of the files, so neither sizes nor
    processes change a score.

    Args:
        facts: gets what is known of each picture.

    Raises:
        CorruptError: more than 1% of the pictures cannot be read.
        UsageError: an extractor is for pictures of another size.
    """
    part = get_world().rows(len(originals))
    total = part.stop - part.start
    context.callback(Progress(task, 0, total))
    for window in _windows(originals, part, facts):
        done, measured = len(facts.digests) - len(window), 0
        groups = list(_same_size(window))
        parts: dict[Extractor, list[Tensor]] = {extractor: [] for extractor in extractors}
        for rows in groups:
            images = _to_tensor([window[row] for row in rows], context.device)
            for extractor in extractors:
                _check_size(images, extractor, originals.source)
                with full_precision(context.device):
                    for chunk in extractor.in_chunks(images):
                        parts[extractor].append(chunk)
                        measured += len(chunk)
                        context.callback(Progress(task, done + measured // len(extractors), total))
        order = torch.tensor([row for rows in groups for row in rows]).argsort()
        yield PictureBatch.of_features({each: torch.cat(part)[order] for each, part in parts.items()})
    context.callback(Progress(task, total, total))


def read_digests(originals: Originals, context: Context, *, task: str) -> Facts:
    """Read a set of pictures without decoding them; the result knows no sizes."""

    def work() -> Facts:
        facts = Facts()
        part = get_world().rows(len(originals))
        for picture in originals.read(part, decode=False):
            if len(facts.digests) % 100 == 0:
                context.callback(Progress(task, len(facts.digests), part.stop - part.start))
            facts.add(picture)
        return facts

    return Facts.of(get_world().gather_results(work))


def _windows(originals: Originals, part: slice, facts: Facts) -> Iterator[list[UInt8[np.ndarray, "h w 3"]]]:
    """Yield the pixels of consecutive pictures, not too many at a time."""
    window: list[np.ndarray] = []
    total = part.stop - part.start
    for picture in originals.read(part):
        facts.add(picture)
        if picture.pixels is None:
            if len(facts.problems) > total * MAX_LOST:
                raise CorruptError(
                    facts.problems[0], hint=f"of {total:,} pictures, at most {MAX_LOST:.0%} may be damaged"
                )
            continue
        window.append(picture.pixels)
        if len(window) == _WINDOW or sum(each.size for each in window) > 3 * _WINDOW_PIXELS:
            yield window
            window = []
    if window:
        yield window


def _same_size(window: Sequence[np.ndarray]) -> Iterator[list[int]]:
    """Yield the rows of pictures of one size, not too many at a time."""
    by_size: dict[tuple[int, ...], list[int]] = {}
    for row, pixels in enumerate(window):
        by_size.setdefault(pixels.shape, []).append(row)
    for (height, width, _), rows in by_size.items():
        length = max(1, min(_BATCH, _BATCH_PIXELS // (height * width)))
        yield from (rows[start : start + length] for start in range(0, len(rows), length))


def _to_tensor(pictures: Sequence[np.ndarray], device: torch.device) -> UInt8[Tensor, "b 3 h w"]:
    return torch.from_numpy(np.stack(pictures)).to(device).permute(0, 3, 1, 2)


def _check_size(images: UInt8[Tensor, "b 3 h w"], extractor: Extractor, source: str) -> None:
    """Raise a UsageError if an extractor is for pictures of another size."""
    height, width = images.shape[2:]
    if extractor.size not in {None, height} or extractor.size not in {None, width}:
        raise UsageError(
            f"{extractor.protocol['features']} is for pictures of {extractor.size}x{extractor.size}; {source} has some "
            f"of {width}x{height}"
        )
