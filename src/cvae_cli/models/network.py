"""What a network offers to the model around it."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.models.condition import Condition

Latents = Float[Tensor, "b *d"]
"""A vector `(b, d)` for each picture, or a map of them `(b, d, h, w)`."""


class Network(nn.Module, ABC):
    """An encoder and a decoder that share a condition.

    Attributes:
        latent_shape: of one picture's latent, `(d,)` or `(d, h, w)`.
    """

    latent_shape: tuple[int, ...]

    @abstractmethod
    def encode(self, images: Float[Tensor, "b c h w"], condition: Condition) -> tuple[Latents, Latents]:
        """Mean and log-variance of q(z | x, c)."""

    @abstractmethod
    def decode(self, z: Latents, condition: Condition) -> Float[Tensor, "b c h w"]:
        """One unbounded number a pixel, for the likelihood to read."""
