"""What a prior is: p(z | c), a distribution of latents."""

from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Independent

from cvae_cli.config.base import Settings
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.runtime.randomness import BatchRandom

_SINGLE_PROCESS = BatchRandom()


class Prior(nn.Module, ABC):
    """A distribution of latents, sampled by transforming standard normal noise.

    Args:
        settings: the prior's own settings.
        latent_shape: the shape of one picture's latent, `(d,)` or `(d, h, w)`.
        condition: what is known about conditions; None for p(z).

    Attributes:
        has_density: whether `log_prob` is the log-density itself rather than a lower bound on it.
        is_normal: whether latents are standard normal, so that most of them lie near a sphere.
        takes_windows: whether `loss` may be told which part of its picture a latent shows.
    """

    has_density = True
    is_normal = False
    takes_windows = False

    def __init__(
        self, settings: Settings, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None
    ) -> None:
        super().__init__()

    @abstractmethod
    def log_prob(self, z: Latents, condition: Condition, *, noise: Latents | None = None) -> Float[Tensor, " b"]:
        """Return log p(z | c), in nats.

        Args:
            noise: the standard normal noise that `z` was computed from, if it is known. It identifies a latent on all
                devices, while `z` itself is rounded differently on each: see `FlowMatching.log_prob`.
        """

    @abstractmethod
    def from_noise(self, noise: Latents, condition: Condition, *, guidance: float | None = None) -> Latents:
        """Transform standard normal `noise` into samples of p(z | c).

        Args:
            guidance: the guidance scale: 1 samples p(z | c), larger values follow the condition more closely, and 0
                samples the latents of all conditions. By default the prior's own setting.

        Raises:
            UsageError: a guidance other than 1 for a prior that has no guidance, or a larger one than it has learned.
        """

    def check_guidance(self, guidance: float | None) -> None:
        """Raise a UsageError if this prior has no such guidance."""
        if guidance not in {None, 1.0}:
            raise UsageError(
                "guidance needs a prior of the kind score, which this model does not have",
                hint="fit one:  cvae train --prior score --model MODEL",
            )

    def loss(
        self,
        z: Latents,
        condition: Condition,
        random: BatchRandom = _SINGLE_PROCESS,
        *,
        window: Float[Tensor, "b 3"] | None = None,
    ) -> Float[Tensor, " b"]:
        """Return the loss of fitting the prior alone to latents: -log p(z | c), in nats, or a substitute for it.

        Args:
            random: the source of random numbers.
            window: which part of its picture each latent shows (see `data.windows.describe`); whole by default.
        """
        return -self.log_prob(z, condition)

    @torch.no_grad()
    def calibrate(self, z: Latents) -> None:
        """Prepare for fitting the prior alone. Called once, with many latents."""

    def rate(
        self, posterior: Independent, z: Latents, condition: Condition, *, noise: Latents | None = None
    ) -> Float[Tensor, " b"]:
        """Estimate KL(q(z | x, c) || p(z | c)), in nats, from one sample `z` of q. The entropy of q is exact.

        Args:
            noise: that `z` was computed from, as in `log_prob`.
        """
        return -posterior.entropy() - self.log_prob(z, condition, noise=noise)
