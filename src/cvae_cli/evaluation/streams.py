"""The streams of batches that metrics are computed from: reconstructions, the bound, and samples.

Each stream yields this process's part of the data set, in its order and each picture once, and reports its progress.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.evaluation.bound import BoundBatch, bound_batches
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.events import Progress
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.sampling import SMALL, numbers_of
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.runtime.device import send
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import noise

BATCH_SIZE = 128
_SMALL_SAMPLES = 512  # at a time on a CPU, whose cores wait for each other at the end of each batch


@dataclass(frozen=True, eq=False)
class ReconstructionBatch:
    """Pictures of the data set and their reconstructions, both float `(b, c, h, w)` in [0, 1]."""

    images: Tensor
    reconstructions: Tensor

    @cached_property
    def ssim_map(self) -> Float[Tensor, "b c h w"]:
        """The structural similarity (Wang et al. 2004) in the 11x11 Gaussian window around each pixel.

        Windows that reach over the border see the picture reflected there. The map is computed once for all metrics.
        """
        from torchmetrics.functional.image import structural_similarity_index_measure

        _, similarity = structural_similarity_index_measure(
            self.reconstructions, self.images, data_range=1.0, reduction="none", return_full_image=True
        )
        assert isinstance(similarity, Tensor)
        return similarity


@dataclass(frozen=True, eq=False)
class PictureBatch:
    """Pictures of one size, 8 bits a value. Grey is repeated to three channels.

    Attributes:
        report: is called now and then while features are computed.
    """

    images: UInt8[Tensor, "b 3 h w"]
    report: Callable[[], None] = lambda: None
    _features: dict[Extractor, Any] = field(default_factory=dict)

    @classmethod
    def of_features(cls, features: dict[Extractor, Tensor]) -> "PictureBatch":
        """Return a batch whose features are known already, and whose pictures, of any sizes, are not kept."""
        number = len(next(iter(features.values())))
        return cls(torch.empty(number, 3, 0, 0, dtype=torch.uint8), _features=features)

    def features(self, extractor: Extractor) -> Float[Tensor, "b d"]:
        """The features of the pictures, computed once for all metrics."""
        if extractor not in self._features:
            parts: list[Tensor] = []
            for part in extractor.in_chunks(self.images):
                parts.append(part)
                self.report()
            self._features[extractor] = torch.cat(parts)
        return self._features[extractor]


@dataclass(frozen=True, eq=False)
class SampleBatch:
    """Samples of the model beside pictures of the data set.

    Attributes:
        generated: a sample for the condition of each picture.
        real: the pictures themselves.
        texts: what each picture shows: its class, or its first caption.
    """

    generated: PictureBatch
    real: PictureBatch
    texts: Sequence[str]
    _vectors: dict[Extractor, Any] = field(default_factory=dict)

    @torch.no_grad()
    def text_features(self, extractor: Extractor) -> Float[Tensor, "b d"]:
        """The vectors of `texts`, computed once for all metrics, by a network that has a text tower."""
        if extractor not in self._vectors:
            self._vectors[extractor] = extractor.network.texts(self.texts)
        return self._vectors[extractor]


def reconstructions(model: CVAE, batches: Batches, context: Context) -> Iterator[ReconstructionBatch]:
    """Encode pictures and decode them again; picture i has the noise of `(seed, i)`."""
    part = get_world().rows(len(batches.dataset))
    first = part.start
    context.callback(Progress("reconstructions", 0, part.stop - part.start))
    for images, condition in batches.in_order(part):
        indices = range(first, first + len(images))
        epsilon = None
        if context.settings.reconstruction == "sample":
            epsilon = send(noise(context.settings.seed, indices, model.latent_shape), model.device)
        yield ReconstructionBatch(images, model.reconstruct(images, condition, noise=epsilon))
        first = indices.stop
        context.callback(Progress("reconstructions", first - part.start, part.stop - part.start))


def bound(model: CVAE, batches: Batches, context: Context) -> Iterator[BoundBatch]:
    """Pictures with the quantities of the variational bound, each computed when a metric asks for it."""
    return bound_batches(model, batches, seed=context.settings.seed, callback=context.callback)


def samples(model: CVAE, batches: Batches, context: Context) -> Iterator[SampleBatch]:
    """Draw one sample for the condition of each picture, with a noise of its own (see `CVAE.sample`).

    The prompt is the class or the first caption. Equal ones are numbered in the order of the data set.
    """
    dataset, settings = batches.dataset, context.settings
    part = get_world().rows(len(dataset))
    prompts = [dataset.conditions.text(row) for row in range(part.stop)]
    numbers = numbers_of(prompts)
    is_cheap = model.device.type == "cpu" and model.config.image.size <= SMALL
    batch_size = _SMALL_SAMPLES if is_cheap else BATCH_SIZE
    done = 0

    def report() -> None:
        context.callback(Progress("samples", done, part.stop - part.start))

    report()
    for start in range(part.start, part.stop, batch_size):
        rows = np.arange(start, min(start + batch_size, part.stop))
        condition = send(torch.from_numpy(dataset.conditions.values(rows)), model.device)
        texts = prompts[rows[0] : rows[-1] + 1]
        noise = model.noise(
            condition,
            seed=settings.seed,
            prompts=texts,
            indices=numbers[rows[0] : rows[-1] + 1],
            temperature=settings.temperature,
        )
        generated: list[Tensor] = []
        with closing(model.draw_chunks(noise, condition, guidance=settings.guidance)) as chunks:
            for chunk in chunks:
                generated.append(to_uint8(chunk))
                done += len(chunk)
                report()
        real = _three_channels(torch.from_numpy(dataset.take(rows).images)).to(context.device)
        yield SampleBatch(
            generated=PictureBatch(_three_channels(torch.cat(generated)).to(context.device), report),
            real=PictureBatch(real, report, context.known_features(start)),
            texts=texts,
        )


STREAMS: dict[str, Callable[[CVAE, Batches, Context], Iterator[Any]]] = {
    "reconstructions": reconstructions,
    "bound": bound,
    "samples": samples,
}
"""Name -> generator of batches, in the order in which the streams run."""


def _three_channels(images: UInt8[Tensor, "n h w c"]) -> UInt8[Tensor, "n 3 h w"]:
    """Move the channels to the front; repeat grey three times."""
    return images.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
