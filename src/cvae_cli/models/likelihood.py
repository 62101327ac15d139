"""What a likelihood is: p(x | z, c), a distribution of pictures given the decoder's output."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.config.base import Settings

Images = Float[Tensor, "b c h w"]


class Likelihood(nn.Module, ABC):
    """A distribution of pictures whose parameters are the decoder's output: one unbounded number for each pixel.

    Args:
        settings: the likelihood's own settings.
        channels: of the pictures, 1 or 3.

    Attributes:
        is_over_bytes: whether it is a probability of 8-bit pictures, so that nats can be converted to bits of a file.
    """

    is_over_bytes = False

    def __init__(self, settings: Settings, *, channels: int) -> None:
        super().__init__()

    @abstractmethod
    def mean(self, output: Images) -> Images:
        """Return the picture in [0, 1] for a decoder's output."""

    @abstractmethod
    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        """Return -log p(images | output), summed over pixels, in nats."""
