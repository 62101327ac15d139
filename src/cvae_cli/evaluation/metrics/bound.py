"""Metrics of the variational bound, in nats unless they say otherwise."""

import math
from typing import Any

from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.bound import ACTIVE_VARIANCE, BoundBatch, check_density, count_active
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.metrics.metric import BoundMetric, Metric
from cvae_cli.evaluation.result import ModelScores
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.distributed import get_world


class LikelihoodMetric(BoundMetric):
    """A metric that contains the log-likelihood of pictures: its nats depend on the kind of likelihood."""

    direction = "lower"

    @classmethod
    def is_comparable(cls, one: ModelScores, other: ModelScores) -> bool:
        return one.likelihood == other.likelihood


class NegativeELBO(LikelihoodMetric):
    """The negative evidence lower bound: rate + distortion."""

    name = "elbo"
    label = "-ELBO, nats"

    def values(self, batch: BoundBatch) -> Float[Tensor, " b"]:
        return _negative_elbo(batch)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {"elbo": "one posterior sample a picture, nats"}


class Rate(BoundMetric):
    """The divergence of the posterior from the prior."""

    name = "rate"
    label = "rate, nats"
    direction = None

    def values(self, batch: BoundBatch) -> Float[Tensor, " b"]:
        return batch.bound.rate


class Distortion(LikelihoodMetric):
    """The negative log-likelihood of a picture given its latent."""

    name = "distortion"
    label = "distortion, nats"

    def values(self, batch: BoundBatch) -> Float[Tensor, " b"]:
        return batch.bound.distortion


class BitsPerDimension(BoundMetric):
    """-ELBO in bits, divided by the number of pixels and channels. Only a likelihood over 8-bit values has bits."""

    name = "bits-per-dim"
    label = "bits/dim"
    direction = "lower"
    note = "bits/dim: defined only for likelihoods over 8-bit values (logistic)"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._dimensions: int | None = None

    def values(self, batch: BoundBatch) -> Float[Tensor, " b"]:
        return _negative_elbo(batch)

    @classmethod
    def is_meaningful(cls, model: CVAE) -> bool:
        return super().is_meaningful(model) and model.likelihood.is_over_bytes

    def update(self, batch: BoundBatch) -> None:
        super().update(batch)
        self._dimensions = batch.images[0].numel() if batch.model.likelihood.is_over_bytes else None

    def compute(self) -> float | None:
        nats = super().compute()
        return None if nats is None or self._dimensions is None else nats / math.log(2) / self._dimensions


class ActiveUnits(Metric[BoundBatch]):
    """The number of latent units that carry information about pictures (Burda et al. 2016)."""

    name = "active-units"
    label = "active units"
    direction = None
    stream = "bound"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._means: list[Tensor] = []

    def update(self, batch: BoundBatch) -> None:
        self._means.append(batch.posterior.mean.flatten(1))

    def compute(self) -> int:
        return count_active(get_world().gather_rows(self._means))

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {"active-units": f"numbers of the latent whose posterior mean has a variance over {ACTIVE_VARIANCE}"}


class ImportanceWeightedBound(LikelihoodMetric):
    """A bound that is tighter than -ELBO, from several posterior samples a picture (Burda et al. 2016)."""

    name = "iwae"
    label = "importance-weighted bound, nats"
    is_default = False

    def values(self, batch: BoundBatch) -> Float[Tensor, " b"]:
        return batch.importance_weighted(self.context.settings.k)

    @classmethod
    def check(cls, model: CVAE, dataset: str) -> None:
        super().check(model, dataset)
        check_density(model)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {"iwae": f"{settings.k} posterior samples a picture, nats"}


def _negative_elbo(batch: BoundBatch) -> Float[Tensor, " b"]:
    """-ELBO of each picture, added in float64 on the CPU, where every device can."""
    return batch.bound.rate.cpu().double() + batch.bound.distortion.cpu().double()
