"""The discretised logistic likelihood: a probability of 8-bit pictures."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.models.likelihood import Images, Likelihood


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
