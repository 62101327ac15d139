"""The discretised logistic likelihood, a probability of 8-bit pictures."""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.models.likelihood import Images, Likelihood


class DiscretisedLogistic(Likelihood):
    """The probability that a logistic variable around sigmoid(output) is rounded to the pixel's value, one of 256.

    Salimans, Karpathy, Chen & Kingma 2017 (PixelCNN++), with one component and one learned scale for each channel.
    """

    is_over_bytes = True
    _HALF = 0.5 / 255  # half a grey level
    _MIN_LOG_SCALE = -7.0

    def __init__(self, settings: config.LogisticLikelihood, *, channels: int) -> None:
        super().__init__(settings, channels=channels)
        self.log_scale = nn.Parameter(torch.full((channels, 1, 1), -2.0))

    def mean(self, output: Images) -> Images:
        return output.sigmoid()

    def distortion(self, output: Images, images: Images) -> Float[Tensor, " b"]:
        precision = (-self.log_scale.clamp_min(self._MIN_LOG_SCALE)).exp()
        error = images - self.mean(output)
        # log(sigmoid(upper) - sigmoid(lower)), in a form whose gradient does not vanish in the tails
        upper, lower = precision * (error + self._HALF), precision * (error - self._HALF)
        log_width = (-torch.expm1(lower - upper)).log()
        inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + log_width
        black, white = F.logsigmoid(upper), F.logsigmoid(-lower)  # the first and the last value have the whole tail
        log_p = torch.where(images < self._HALF, black, torch.where(images > 1 - self._HALF, white, inside))
        return -log_p.flatten(1).sum(1)
