"""p(x | z, c): what a decoder's output says about the pixels. A decoder gives one unbounded number a pixel."""

from abc import ABC, abstractmethod

from jaxtyping import Float
from torch import Tensor, nn

Images = Float[Tensor, "b c h w"]


class Likelihood(nn.Module, ABC):
    """Turns decoder outputs into pictures, and into log-likelihoods of pictures.

    Attributes:
        is_over_bytes: whether it is a probability of pictures of 8 bits, so that nats mean bits of a file.
    """

    is_over_bytes = False

    @abstractmethod
    def mean(self, output: Images) -> Images:
        """The picture in [0, 1] that the decoder's output stands for."""

    @abstractmethod
    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        """-log p(images | output), summed over pixels, in nats."""
