"""p(z | c): where samples start."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent

from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.runtime.randomness import BatchRandom

_ALONE = BatchRandom()


class Prior(nn.Module, ABC):
    """A density over latents that can be sampled by carrying standard normal noise to it.

    Attributes:
        has_density: whether `log_prob` is the density, and not a bound on it.
    """

    has_density = True

    @abstractmethod
    def log_prob(self, z: Latents, condition: Condition) -> Float[Tensor, " b"]:
        """log p(z | c), in nats."""

    @abstractmethod
    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        """The sample that standard normal `noise` stands for.

        Args:
            guidance: how far it is driven towards the condition: 1 is p(z | c); the prior's own choice when absent.

        Raises:
            UsageError: another guidance than 1 for a prior that knows none.
        """

    def check_guidance(self, guidance: float | None) -> None:
        """Raise a UsageError where the prior cannot be guided so."""
        if guidance not in {None, 1.0}:
            raise UsageError(
                "guidance needs a prior of the kind score, which this model does not have",
                hint="fit one:  cvae train --prior score --model MODEL",
            )

    def loss(self, z: Latents, condition: Condition, draw: BatchRandom = _ALONE) -> Float[Tensor, " b"]:
        """What is minimised when the prior alone is fitted to latents; -log p(z | c), in nats, or a stand-in for it.

        Args:
            draw: whatever random numbers that takes.
        """
        return -self.log_prob(z, condition)

    @torch.no_grad()
    def calibrate(self, z: Latents) -> None:
        """Called once, before the prior alone is fitted, with many latents."""

    def rate(self, posterior: Independent, z: Latents, condition: Condition) -> Float[Tensor, " b"]:
        """KL(q(z | x, c) || p(z | c)) in nats, from one sample `z` of q; the entropy of q is taken exactly."""
        return -posterior.entropy() - self.log_prob(z, condition)
