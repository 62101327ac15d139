"""The calibrated Gaussian likelihood: the mean squared error, weighted by its optimal variance."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.config import model as config
from cvae_cli.models.likelihood import Images, Likelihood


class Gaussian(Likelihood):
    """N(sigmoid(output), variance), with one variance for all pixels of all pictures.

    The optimal variance is the mean squared error (Rybkin, Daniilidis & Levine 2021), which a moving average tracks
    during training. This is a density of real values in [0, 1], so its nats may be negative.
    """

    variance: Tensor
    _MOMENTUM = 0.01
    _MIN_VARIANCE = 1e-5  # (0.8 grey levels)²: a smaller error is mostly the rounding to 8 bits

    def __init__(self, settings: config.GaussianLikelihood, *, channels: int) -> None:
        super().__init__(settings, channels=channels)
        self.register_buffer("variance", torch.tensor(0.05))

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        squared = (self.mean(output) - images).square()
        variance = self.variance.clone()
        if self.training:
            with torch.no_grad():
                self.variance.lerp_(squared.mean().clamp_min(self._MIN_VARIANCE).float(), self._MOMENTUM)
        return (0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))).flatten(1).sum(1)
