"""A small Fashion-MNIST classifier: for `accuracy`, and as the feature extractor of `fid-fashion`.

`benchmarks/train_fashion_cnn.py` trains it and writes `fashion_cnn.safetensors`, which ships with the package.
"""

from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

WEIGHTS = Path(__file__).with_name("fashion_cnn.safetensors")
VERSION = "1.0"


class FashionCNN(nn.Module):
    """Maps uint8 pictures `(n, 3, 28, 28)` (or 1 channel) to 128 features, and these to 10 logits."""

    num_features = 128

    def __init__(self) -> None:
        super().__init__()
        self.convolutions = nn.Sequential(
            *_layer(1, 32), *_layer(32, 64, stride=2), *_layer(64, 64),
            *_layer(64, 128, stride=2), *_layer(128, 128), nn.AdaptiveAvgPool2d(2), nn.Flatten(),
        )  # fmt: skip
        self.features = nn.Sequential(nn.Linear(512, self.num_features), nn.ReLU())
        self.logits = nn.Linear(self.num_features, 10)

    def forward(self, images: UInt8[Tensor, "n c 28 28"]) -> Float[Tensor, "n 128"]:
        grey = images[:, :1].float() / 127.5 - 1
        features: Tensor = self.features(self.convolutions(grey))
        return features

    def classify(self, images: UInt8[Tensor, "n c 28 28"]) -> Float[Tensor, "n 10"]:
        """Logits of the ten classes."""
        logits: Tensor = self.logits(self(images))
        return logits


def _layer(inputs: int, outputs: int, stride: int = 1) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def load_fashion_cnn(device: torch.device) -> FashionCNN:
    """Load the classifier that ships with the package."""
    from cvae_cli.evaluation.features.inference import for_inference
    from cvae_cli.models.tensors import load_weights

    network = FashionCNN()
    load_weights(network, WEIGHTS)
    return for_inference(network).to(device)
