"""The bound as an objective: -ELBO of the whole model."""

from collections.abc import Iterable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config.model import StandardPrior
from cvae_cli.errors import UsageError
from cvae_cli.models.bound import Bound
from cvae_cli.models.build import build_prior
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.standard_normal import StandardNormal
from cvae_cli.training.objectives.objective import Objective


class BoundObjective(Objective):
    """-ELBO with a weight on the rate: beta * rate + distortion.

    Args:
        free_bits: nats below which the rate of each number of the latent is not reduced further (Kingma et al. 2016).
        keep_prior: train all but the prior. If the prior has no density, the rate is that of N(0, I), as it was when
            the network was trained first.

    Raises:
        UsageError: free bits without the standard prior, the only one with a rate for each number; or a score prior,
            which is trained in a second stage.
    """

    names: tuple[str, ...] = ("rate", "distortion")

    def __init__(self, model: CVAE, free_bits: float = 0.0, *, keep_prior: bool = False) -> None:
        super().__init__(model)
        self.keep_prior = keep_prior
        self.prior = model.prior
        if keep_prior and not model.prior.has_density:
            self.prior = build_prior(StandardPrior(), latent_shape=model.latent_shape, condition=None)
        self.free_bits = free_bits
        if not self.prior.has_density:
            raise UsageError(
                "a score prior is fitted to a finished model",
                hint="train the model first:  --prior score, without --set",
            )
        if free_bits:
            self.names = (*self.names, "free")
            if not isinstance(self.prior, StandardNormal):
                raise UsageError("free bits need the standard prior", hint="--set training.free_bits=0")

    def parameters(self) -> Iterable[nn.Parameter]:
        if not self.keep_prior:
            return self.model.parameters()
        self.model.prior.requires_grad_(False)
        return [*self.model.network.parameters(), *self.model.likelihood.parameters()]

    def train_mode(self) -> None:
        self.model.train()
        if self.keep_prior:
            self.model.prior.eval()

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        return self.losses_from_bound(self.bound(images, condition))

    def bound(self, images: Tensor, condition: Condition) -> Bound:
        """Return the bound of each image, from one sample of the posterior."""
        noise = self.random.normal(len(images), *self.model.latent_shape, device=images.device)
        return self.model.elbo(images, condition, noise=noise, prior=self.prior)

    def losses_from_bound(self, bound: Bound) -> Float[Tensor, "b losses"]:
        """Return the columns rate and distortion, and with free bits the column `free`."""
        losses = [bound.rate, bound.distortion]
        if self.free_bits:
            assert isinstance(self.prior, StandardNormal)
            assert bound.posterior is not None
            rates = self.prior.rates(bound.posterior).mean(0)  # (d,): each number's rate, a mean over the batch
            # Where a rate is below the threshold, the gradient of this term cancels the rate's own.
            losses.append((self.free_bits - rates).clamp_min(0).sum().expand(len(bound.rate)))
        return torch.stack(losses, dim=1)

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        rate, distortion, *free = losses.unbind(1)
        return beta * sum(free, rate) + distortion
