"""p(x | z, c): what a decoder's output says about the pixels. A decoder gives one number a pixel, unbounded."""

import math
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli import config

Images = Float[Tensor, "b c h w"]


class Likelihood(nn.Module, ABC):
    """Turns decoder outputs into pictures, and into log-likelihoods of pictures."""

    @abstractmethod
    def mean(self, output: Images) -> Images:
        """The picture in [0, 1] that the decoder's output stands for."""

    @abstractmethod
    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        """-log p(images | output), summed over pixels, in nats."""


class Bernoulli(Likelihood):
    """Each pixel a coin whose bias is the sigmoid of the output.

    Grey values are taken as probabilities (Kingma & Welling 2014, appendix C.1), so this is a cross-entropy and its
    least value is the entropy of the picture, not 0.
    """

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        return F.binary_cross_entropy_with_logits(output, images, reduction="none").flatten(1).sum(1)


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
        if self.training:
            with torch.no_grad():
                self.variance.lerp_(squared.mean().clamp_min(self._LEAST).float(), self._MOMENTUM)
        variance = self.variance.clone()
        return (0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))).flatten(1).sum(1)


def build_likelihood(settings: config.BernoulliLikelihood | config.GaussianLikelihood) -> Likelihood:
    match settings:
        case config.BernoulliLikelihood():
            return Bernoulli()
        case config.GaussianLikelihood():
            return Gaussian()
