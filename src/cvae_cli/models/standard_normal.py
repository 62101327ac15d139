"""The standard normal prior."""

import math

from jaxtyping import Float
from torch import Tensor
from torch.distributions import Independent

from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.models.prior import Prior


class StandardNormal(Prior):
    """N(0, I), for every condition."""

    is_normal = True

    def log_prob(self, z: Latents, condition: Condition, *, noise: Latents | None = None) -> Float[Tensor, " b"]:
        return standard_log_prob(z)

    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        self.check_guidance(guidance)
        return noise

    def rate(
        self, posterior: Independent, z: Latents, condition: Condition, *, noise: Latents | None = None
    ) -> Float[Tensor, " b"]:
        return self.rates(posterior).flatten(1).sum(1)

    def rates(self, posterior: Independent) -> Latents:
        """Return the divergence of each number of the latent, in closed form (Kingma & Welling 2014, appendix B)."""
        mean, variance = posterior.mean, posterior.variance
        return 0.5 * (mean.square() + variance - variance.log() - 1)


def standard_log_prob(z: Latents) -> Float[Tensor, " b"]:
    """Return the log-density of N(0, I), in nats."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).flatten(1).sum(1)
