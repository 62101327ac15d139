"""The two parts of the bound of a model."""

from dataclasses import dataclass

from torch import Tensor
from torch.distributions import Independent


@dataclass(frozen=True)
class Bound:
    """The two parts of the negative ELBO, and what they were computed from.

    Attributes:
        rate: the divergence of the posterior from the prior, `(b,)`, in nats.
        distortion: the negative log-likelihood, `(b,)`, in nats.
        posterior: q(z | x, c).
        output: the decoder's output for one sample of the posterior, `(b, c, h, w)`.
    """

    rate: Tensor
    distortion: Tensor
    posterior: Independent | None = None
    output: Tensor | None = None

    @property
    def negative_elbo(self) -> Tensor:
        """The sum of rate and distortion, `(b,)`, in nats."""
        return self.rate + self.distortion
