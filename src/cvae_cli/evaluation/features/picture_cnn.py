"""Small features for photographs and drawings that need no download: the feature extractor `pictures`.

`benchmarks/train_picture_cnn.py` trains the network and writes `picture_cnn.safetensors`, which ships with the package.
"""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F

WEIGHTS = Path(__file__).with_name("picture_cnn.safetensors")
VERSION = "1.0"
SIDE = 64
"""Pixels a side of the network's input."""


class PictureCNN(nn.Module):
    """Maps uint8 pictures of any size, `(n, 3, h, w)`, to 128 features.

    The features are a guess at the 128 principal components of EfficientNet-Lite0's pooled features (ImageNet).
    """

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            _Layer(3, 32, stride=2), _Layer(32, 48),
            _Layer(48, 64, stride=2), _Layer(64, 64),
            _Layer(64, 96, stride=2), _Layer(96, 96),
            _Layer(96, 128, stride=2), _Layer(128, 128),
        )  # fmt: skip
        self.features = nn.Linear(128, self.num_features)

    def forward(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n 128"]:
        inputs = images.float() / 127.5 - 1
        if inputs.shape[-2:] != (SIDE, SIDE):
            inputs = F.interpolate(inputs, size=(SIDE, SIDE), mode="bilinear", antialias=True)
        features: Tensor = self.features(self.convolutions(inputs).mean((2, 3)))
        return features


class _Layer(nn.Module):
    """A convolution, added to its input where both have the same shape."""

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        self.is_residual = inputs == outputs and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.convolution(x)))
        return x + y if self.is_residual else y


def load_picture_cnn(device: torch.device) -> PictureCNN:
    """Load the network that ships with the package."""
    from cvae_cli.evaluation.features.inference import for_inference
    from cvae_cli.models.tensors import load_weights

    network = PictureCNN()
    load_weights(network, WEIGHTS)
    return for_inference(network).to(device)
