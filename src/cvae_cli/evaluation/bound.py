"""The variational bound of a model on a data set, a tighter one, and how many latents take part in it."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import noise

Steps = Callable[[str, int, int], None]
_ACTIVE = 0.01  # variance of a latent's posterior mean over the data, from which it counts


@torch.inference_mode()
def evaluate_bound(model: CVAE, batches: Batches, *, seed: int = 0) -> Bound:
    """Rate and distortion of each picture, `(n,)` float64 in nats, from one sample of the posterior.

    Picture i is given the noise of `(seed, i)`, so that two models, or one twice, are measured alike. Several processes
    share the work, and each has the whole result.
    """
    model.eval()
    rates: list[Float[Tensor, " b"]] = []
    distortions: list[Float[Tensor, " b"]] = []
    world = get_world()
    part = world.rows(len(batches.dataset))
    first = part.start
    for images, condition in batches.in_order(part):
        epsilon = noise(seed, range(first, first + len(images)), model.latent_shape).to(model.device)
        bound = model.elbo(images, condition, noise=epsilon)
        rates.append(bound.rate)
        distortions.append(bound.distortion)
        first += len(images)
    return Bound(rate=world.gather_rows(rates).double(), distortion=world.gather_rows(distortions).double())


def require_density(model: CVAE) -> None:
    """Raise a UsageError where the prior has only a bound on its density, as a score prior has."""
    if not model.prior.has_density:
        raise UsageError(
            f"the prior of {model.config.name} has no density that samples could be weighed by, only a bound on it",
            hint="leave iwae out",
        )


@torch.inference_mode()
def importance_weighted_bound(
    model: CVAE, batches: Batches, k: int, *, seed: int = 0, callback: Callback = ignore
) -> Float[Tensor, " n"]:
    """An upper bound on -log p(x | c) of each picture, float64 in nats, that k samples of the posterior make tighter.

    Burda, Grosse & Salakhutdinov 2016, eq. 8. Sample j of picture i has the noise of `(seed, i * k + j)`.

    Raises:
        UsageError: the prior has no density to weigh samples by, only a bound on it.
    """
    require_density(model)
    model.eval()
    bounds = []
    world = get_world()
    part = world.rows(len(batches.dataset))
    first = part.start
    for images, condition in batches.in_order(part):
        posterior = model.posterior(images, condition)
        weights = []
        for j in range(k):
            indices = range(first * k + j, (first + len(images)) * k + j, k)
            z = posterior.mean + posterior.stddev * noise(seed, indices, model.latent_shape).to(model.device)
            distortion = model.likelihood.distortion(model.network.decode(z, condition).float(), images)
            weights.append(model.prior.log_prob(z, condition) - posterior.log_prob(z) - distortion)
        bounds.append(math.log(k) - torch.stack(weights).cpu().double().logsumexp(0))
        first += len(images)
        callback(Progress("importance-weighted bound", first - part.start, part.stop - part.start))
    return world.gather_rows(bounds)


@torch.inference_mode()
def active_units(model: CVAE, batches: Batches) -> int:
    """How many numbers of the latent tell pictures apart: those whose posterior mean varies over the data.

    Burda, Grosse & Salakhutdinov 2016, section 5.2, with their threshold of 0.01 on the variance.
    """
    model.eval()
    world = get_world()
    part = world.rows(len(batches.dataset))
    means = [model.posterior(*batch).mean.flatten(1) for batch in batches.in_order(part)]
    return int((world.gather_rows(means).double().var(0, unbiased=False) > _ACTIVE).sum())
