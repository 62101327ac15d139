"""What a network is: the encoder and the decoder of a model."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config import model as config
from cvae_cli.models.condition import Condition

Latents = Float[Tensor, "b *d"]
"""One vector for each picture, `(b, d)`, or a map of vectors, `(b, d, h, w)`."""


class Network(nn.Module, ABC):
    """An encoder and a decoder that share a condition.

    Args:
        settings: the configuration of the whole model.

    Attributes:
        latent_shape: the shape of one picture's latent, `(d,)` or `(d, h, w)`.
        decoder_parts: the names of the modules that only the decoder has, which can be trained on alone.

    Raises:
        UsageError: the network does not fit the size of the pictures.
    """

    latent_shape: tuple[int, ...]
    decoder_parts: tuple[str, ...]

    def __init__(self, settings: config.ModelConfig) -> None:
        super().__init__()

    @abstractmethod
    def encode(self, images: Float[Tensor, "b c h w"], condition: Condition) -> tuple[Latents, Latents]:
        """Return the mean and the log-variance of q(z | x, c)."""

    @abstractmethod
    def decode(self, z: Latents, condition: Condition) -> Float[Tensor, "b c h w"]:
        """Return the parameters of p(x | z, c): one unbounded number for each pixel, which the likelihood reads."""
