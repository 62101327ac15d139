"""Metrics by a CLIP model: whether samples show what their captions say."""

from collections.abc import Iterator
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.evaluation.metrics.metric import SampleMetric
from cvae_cli.evaluation.streams import SampleBatch
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.distributed import get_world

GROUP = 100
"""How many captions a picture is compared with to find its own."""

_SAME = 1e-6  # cosines closer than this belong to the same caption, up to rounding


class CaptionVectors:
    """The CLIP vectors of all samples, real pictures and captions, shared by the metrics of this module."""

    def __init__(self) -> None:
        self._parts: list[tuple[Tensor, Tensor, Tensor]] = []
        self._last: SampleBatch | None = None

    def update(self, batch: SampleBatch, clip: Extractor) -> None:
        """Add a batch; a second call with the same batch has no effect."""
        if batch is not self._last:
            self._last = batch
            pictures = batch.generated.features(clip), batch.real.features(clip)
            self._parts.append((*pictures, batch.text_features(clip)))

    @cached_property
    def shuffled(self) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors of samples, real pictures and captions, in random order: neighbours in a data set may look alike."""
        generated, real, texts = (get_world().gather_rows(parts) for parts in zip(*self._parts, strict=True))
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
        return generated[order], real[order], texts[order]


class CLIPMetric(SampleMetric):
    """A metric of CLIP vectors; define `compute`."""

    direction = "higher"
    is_default = False
    features = "clip"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._vectors = context.shared(CaptionVectors)

    def update(self, batch: SampleBatch) -> None:
        self._vectors.update(batch, self.extractor)

    @classmethod
    def warnings(cls, model: CVAE, dataset: Dataset, context: Context) -> Iterator[str]:
        """A model has an advantage over others if the CLIP model that measures it has also conditioned it."""
        condition = model.config.condition
        digest = context.extractor("clip").protocol["clip_sha256"]
        if condition.kind == "clip" and condition.sha256 == digest:
            yield (
                f"{cls.name} of {model.called} is circular: the CLIP model that measures it is the one that "
                "conditions it"
            )


class CLIPScore(CLIPMetric):
    """100 times the cosine of a sample and its caption, according to CLIP (Hessel et al. 2021)."""

    name = "clip-score"
    label = "clip-score, 0 to 100"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._cut_before = self.extractor.network.cut  # while other models were measured

    def compute(self) -> float | None:
        generated, _, texts = self._vectors.shuffled
        return clip_score(generated, texts).mean().item()

    def details(self) -> dict[str, int | float]:
        _, real, texts = self._vectors.shuffled
        return {
            "clip-score captions cut": sum(get_world().all_gather(self.extractor.network.cut - self._cut_before)),
            "clip-score of real pictures": clip_score(real, texts).mean().item(),
        }


class Retrieval(CLIPMetric):
    """The share of samples for which CLIP ranks their own caption first among 100 (R@1)."""

    name = "retrieval"
    label = f"retrieval, R@1 of {GROUP}"

    @classmethod
    def heading(cls, pictures: int, features: str | None = None) -> str:
        return f"retrieval, R@1 of {min(GROUP, pictures)}"

    def compute(self) -> float | None:
        generated, _, texts = self._vectors.shuffled
        return retrieval(generated, texts, GROUP)

    def details(self) -> dict[str, int | float]:
        _, real, texts = self._vectors.shuffled
        return {
            "retrieval of real pictures": retrieval(real, texts, GROUP),
            "retrieval by chance": 1 / min(GROUP, len(texts)),
        }


def clip_score(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"]) -> Float[Tensor, " n"]:
    """100 times the cosine of each picture with its caption, not below 0.

    Hessel et al. 2021, https://arxiv.org/abs/2104.08718, with the factor of torchmetrics in place of the paper's 2.5.
    Vectors have length 1.
    """
    return 100 * (images * texts).sum(dim=1).clamp(min=0)


def retrieval(images: Float[Tensor, "n d"], texts: Float[Tensor, "n d"], group: int = GROUP) -> float:
    """R@1: the share of pictures whose own caption is the nearest of all captions in their group.

    Groups are consecutive; an incomplete last group is left out unless it is the only one. If a caption occurs several
    times in a group, any of them counts. There is at least one vector of each kind, and vectors have length 1.
    """
    group = min(group, len(images))
    n = len(images) // group * group
    cosines = images[:n].unflatten(0, (-1, group)) @ texts[:n].unflatten(0, (-1, group)).mT  # (groups, images, texts)
    own = cosines.diagonal(dim1=1, dim2=2)  # (groups, images)
    return (own >= cosines.amax(dim=2) - _SAME).double().mean().item()
