"""The variational bound of a model on a data set, and what metrics compute from the same batches."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from cvae_cli.data.batches import Batches
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.bound import Bound
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.device import full_precision, send
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import noise

ACTIVE_VARIANCE = 0.01
"""A latent unit is active if the variance of its posterior mean over the data is larger than this."""


@dataclass(frozen=True, eq=False)
class BoundBatch:
    """A batch of pictures, with what the model makes of them. Each quantity is computed at most once, when needed.

    Attributes:
        images: float `(b, c, h, w)` in [0, 1].
        condition: one row a picture.
        indices: the numbers of the pictures in the data set, which determine their noise.
    """

    model: CVAE
    images: Tensor
    condition: Tensor
    indices: range
    seed: int

    @cached_property
    @torch.inference_mode()
    def posterior(self) -> Independent:
        """q(z | x, c)."""
        return self.model.posterior(self.images, self.condition)

    @cached_property
    @torch.inference_mode()
    def bound(self) -> Bound:
        """Rate and distortion of each picture, from one sample of the posterior with the noise of `(seed, index)`."""
        epsilon = send(noise(self.seed, self.indices, self.model.latent_shape), self.model.device)
        return self.model.elbo(self.images, self.condition, noise=epsilon)

    @torch.inference_mode()
    def importance_weighted(self, k: int) -> Float[Tensor, " b"]:
        """An upper bound on -log p(x | c) from `k` samples of the posterior, float64 on the CPU, in nats.

        Burda, Grosse & Salakhutdinov 2016, eq. 8. Sample j of picture i has the noise of `(seed, i * k + j)`.
        """
        model, posterior = self.model, self.posterior
        weights = []
        for j in range(k):
            indices = range(self.indices.start * k + j, self.indices.stop * k + j, k)
            z = posterior.mean + posterior.stddev * send(noise(self.seed, indices, model.latent_shape), model.device)
            distortion = model.likelihood.distortion(model.network.decode(z, self.condition).float(), self.images)
            weights.append(model.prior.log_prob(z, self.condition) - posterior.log_prob(z) - distortion)
        return math.log(k) - torch.stack(weights).cpu().double().logsumexp(0)


def bound_batches(
    model: CVAE, batches: Batches, *, seed: int = 0, task: str = "bound", callback: Callback = ignore
) -> Iterator[BoundBatch]:
    """Yield this process's part of a data set in its order, each picture once, and report the progress."""
    part = get_world().rows(len(batches.dataset))
    first = part.start
    callback(Progress(task, 0, part.stop - part.start))
    for images, condition in batches.in_order(part):
        indices = range(first, first + len(images))
        yield BoundBatch(model, images, condition, indices, seed)
        first = indices.stop
        callback(Progress(task, first - part.start, part.stop - part.start))


def evaluate_bound(
    model: CVAE, batches: Batches, *, seed: int = 0, task: str = "bound", callback: Callback = ignore
) -> Bound:
    """Compute rate and distortion of each picture, `(n,)` float64 in nats, from one sample of the posterior.

    Picture i has the noise of `(seed, i)`, so that all models are measured with the same noise. Several processes
    share the work, and each returns the whole result. `task` is what the progress is called.
    """
    model.eval()
    rates: list[Tensor] = []
    distortions: list[Tensor] = []
    with full_precision(model.device):
        for batch in bound_batches(model, batches, seed=seed, task=task, callback=callback):
            rates.append(batch.bound.rate)
            distortions.append(batch.bound.distortion)
    world = get_world()
    return Bound(rate=world.gather_rows(rates).double(), distortion=world.gather_rows(distortions).double())


def check_density(model: CVAE) -> None:
    """Raise a UsageError if the prior has only a bound on its density, as a score prior has."""
    if not model.prior.has_density:
        raise UsageError(
            f"iwae needs a density: the prior of {model.called} has no density, only a bound on it",
            hint="leave out iwae",
        )


def count_active(means: Float[Tensor, "n d"]) -> int:
    """Count the latent units whose posterior mean has a variance over the data of more than 0.01.

    Burda, Grosse & Salakhutdinov 2016, section 5.2.
    """
    return int((means.double().var(0, unbiased=False) > ACTIVE_VARIANCE).sum())
