"""The variational bound of a model on a data set."""

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.randomness import noise


@torch.inference_mode()
def bound_on(model: CVAE, batches: Batches, *, seed: int = 0) -> Bound:
    """Rate and distortion of each picture, `(n,)` float64 in nats, from one sample of the posterior.

    Picture i is given the noise of `(seed, i)`, so that two models, or one twice, are measured alike.
    """
    model.eval()
    rates: list[Float[Tensor, " b"]] = []
    distortions: list[Float[Tensor, " b"]] = []
    first = 0
    for images, condition in batches.in_order():
        epsilon = noise(seed, range(first, first + len(images)), model.latent_shape).to(model.device)
        bound = model.elbo(images, condition, noise=epsilon)
        rates.append(bound.rate)
        distortions.append(bound.distortion)
        first += len(images)
    return Bound(rate=torch.cat(rates).cpu().double(), distortion=torch.cat(distortions).cpu().double())
