"""The network of LPIPS: how different two pictures look to AlexNet."""

from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_suffix(".safetensors")  # what each channel counts, as published

_TAPS = (1, 4, 7, 9, 11)  # the activations after AlexNet's five convolutions
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, for values in [0, 1]
_EPSILON = 1e-8


class AlexNetDistance(nn.Module):
    """LPIPS, version 0.1 (Zhang et al. 2018, "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric").

    Args:
        features: the weights of AlexNet's convolutions, by their names in torchvision's `features`.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, features: dict[str, Tensor]) -> None:
        super().__init__()
        from torchvision.models import alexnet

        with torch.device("meta"):  # most of its memory would be the classifier's, which is not used
            self.features = alexnet(weights=None).features.eval()
        self.features.load_state_dict(features, assign=True)
        channels = safetensors.torch.load_file(WEIGHTS)
        self.counts = nn.ParameterList(channels[f"layer{number}"] for number in range(len(_TAPS)))  # each (c,)
        for name, values in (("mean", _MEAN), ("deviation", _DEVIATION)):
            self.register_buffer(name, torch.tensor(values).view(3, 1, 1))

    def forward(self, images: Float[Tensor, "n 3 h w"], others: Float[Tensor, "n 3 h w"]) -> Float[Tensor, " n"]:
        """Return the distance of each pair of pictures, values in [0, 1]."""
        distance = images.new_zeros(len(images))
        for counts, here, there in zip(self.counts, self._directions(images), self._directions(others), strict=True):
            difference = (here - there).square().mean((2, 3))  # (n, c)
            distance = distance + difference @ counts
        return distance

    def _directions(self, images: Float[Tensor, "n 3 h w"]) -> list[Float[Tensor, "n c h2 w2"]]:
        """Return the activations of each layer, divided by their length at each position."""
        x, found = (images - self.mean) / self.deviation, []
        for number, layer in enumerate(self.features[: _TAPS[-1] + 1]):
            x = layer(x)
            if number in _TAPS:
                found.append(x / (x.square().sum(1, keepdim=True) + _EPSILON).sqrt())
        return found
