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
        variance = self.variance.clone()
        if self.training:
            with torch.no_grad():
                self.variance.lerp_(squared.mean().clamp_min(self._LEAST).float(), self._MOMENTUM)
        return (0.5 * (squared / variance + variance.log() + math.log(2 * math.pi))).flatten(1).sum(1)


class DiscretisedLogistic(Likelihood):
    """The probability that a logistic variable around sigmoid(output) falls to the pixel's value of 256.

    Salimans, Karpathy, Chen & Kingma 2017 (PixelCNN++), with one component and one learned scale a channel.
    """

    is_over_bytes = True
    _HALF = 0.5 / 255  # of a grey level
    _LEAST_LOG_SCALE = -7.0

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), -2.0))

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        precision = (-self.log_scale.clamp_min(self._LEAST_LOG_SCALE)).exp()
        away = images - self.mean(output)
        # log(sigmoid(upper) - sigmoid(lower)), written so that far tails keep their gradient
        upper, lower = precision * (away + self._HALF), precision * (away - self._HALF)
        log_width = (-torch.expm1(lower - upper)).log()
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + log_width
        black, white = F.logsigmoid(upper), F.logsigmoid(-lower)  # the first and the last value take the whole tail
        log_p = torch.where(images < self._HALF, black, torch.where(images > 1 - self._HALF, white, inside))
        return -log_p.flatten(1).sum(1)


def build_likelihood(settings: config.Likelihood, *, channels: int) -> Likelihood:
    match settings:
        case config.BernoulliLikelihood():
            return Bernoulli()
        case config.GaussianLikelihood():
            return Gaussian()
        case config.LogisticLikelihood():
            return DiscretisedLogistic(channels)
