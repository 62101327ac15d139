"""The calibrated Gaussian likelihood: the mean squared error, weighted by its own optimal variance."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.models.likelihood import Images, Likelihood


class Gaussian(Likelihood):
    """N(sigmoid(output), variance), one variance for all pixels of all pictures.

    The variance that makes the data likeliest is the mean squared error (Rybkin, Daniilidis & Levine 2021); it is
    followed by a moving average while training. A density over real values in [0, 1]: its nats may be negative.
    """

    variance: Tensor
    _MOMENTUM = 0.01
    _LEAST = 1e-5  # 0.8 of a grey level, squared: below it there is little but the rounding to 8 bits to learn

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("variance", torch.tensor(0.05))

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        squared = (self.mean(output) - images).square()
        variance = self.variance.clone()
        if self.training:
            with torch.no_grad():
                self.variance.lerp_(squared.mean().clamp_min(self._LEAST).float(), self._MOMENTUM)
        return (0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))).flatten(1).sum(1)
