"""Frozen networks in whose features a training compares pictures: by name, or the user's own."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.errors import CorruptError, UsageError, did_you_mean
from cvae_cli.evaluation.features.own_features import import_callable
from cvae_cli.events import Callback, ignore
from cvae_cli.weights.registry import get_weights, require_weights

FeatureMaps = Sequence[Float[Tensor, "b _ _ _"]]
"""What a network sees in pictures, from its first layers to its last ones."""

_VGG16 = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))  # channels of its convolutions
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures


class Frozen(nn.Module):
    """A network that is not trained: from pictures in [0, 1], `(b, 3, h, w)`, to a list of feature maps."""

    def __init__(self, name: str, network: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.name, self.network = name, network
        if isinstance(network, nn.Module):
            network.requires_grad_(False).eval()

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> FeatureMaps:
        maps: FeatureMaps = self.network(images)
        return maps

    def check(self, size: int, device: torch.device) -> None:
        """Try the network on two pictures of `size` pixels a side.

        Raises:
            UsageError: it fails, or does not return feature maps.
        """
        try:
            with torch.no_grad():
                maps = self(torch.zeros(2, 3, size, size, device=device))
        except Exception as error:
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            raise UsageError(f"the features {self.name} failed for pictures of {size}x{size}: {problem}") from error
        is_list = isinstance(maps, (list, tuple)) and len(maps) > 0
        if not is_list or not all(isinstance(each, Tensor) and each.ndim == 4 and len(each) == 2 for each in maps):
            raise UsageError(
                f"the features {self.name} returned no list of feature maps",
                hint="training needs a list of tensors (b, c, h, w), from the first layers to the last ones",
            )


class Vgg16(nn.Module):
    """The convolutions of VGG16 (Simonyan & Zisserman 2015); the maps are the last of each size."""

    mean: Tensor
    deviation: Tensor

    def __init__(self) -> None:
        super().__init__()
        widths = [3, *(width for stage in _VGG16 for width in stage)]
        pairs = pairwise(widths)
        self.convolutions = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairs)
        self.register_buffer("mean", torch.tensor(_MEAN).view(3, 1, 1))
        self.register_buffer("deviation", torch.tensor(_DEVIATION).view(3, 1, 1))

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> FeatureMaps:
        x = (images - self.mean) / self.deviation
        maps: list[Tensor] = []
        convolutions = iter(self.convolutions)
        for stage in _VGG16:
            x = F.max_pool2d(x, 2) if maps else x
            for _ in stage:
                x = F.relu(next(convolutions)(x))
            maps.append(x)
        return maps

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Take the weights of torchvision's network."""
        names = [name for name in tensors if name.startswith("features.")]
        self.convolutions.load_state_dict(
            dict(zip(self.convolutions.state_dict(), map(tensors.__getitem__, names), strict=True))
        )


def _load_vgg16(callback: Callback) -> nn.Module:
    path = require_weights(get_weights("vgg16"), callback)
    network = Vgg16()
    try:
        network.load(torch.load(path, map_location="cpu", weights_only=True, mmap=True))
    except Exception as error:
        raise CorruptError(
            f"{path} does not hold the network VGG16 ({type(error).__name__})",
            hint="download it again:  cvae download-weights vgg16",
        ) from error
    return network


NETWORKS: dict[str, Callable[[Callback], nn.Module]] = {"vgg16": _load_vgg16}
"""The loader of each network. Besides these there is `MODULE:CALLABLE`, the user's own."""

_loaded: dict[tuple[str, int, torch.device], Frozen] = {}  # a training asks more than once


def load_frozen(name: str, size: int, device: torch.device, callback: Callback = ignore) -> Frozen:
    """Load a frozen network, and download its weights if they are not on this machine.

    Args:
        name: one of `NETWORKS`, or `MODULE:CALLABLE`.
        size: pixels a side of the pictures that it will see.

    Raises:
        UsageError: there is no such network, or the user's own does not work.
        MissingError: the weights are not on this machine and cannot be downloaded.
        CorruptError: the weights are damaged.
    """
    module, colon, function = name.partition(":")
    if name not in NETWORKS and not (colon and module and function):
        raise UsageError(
            f'no features "{name}" to train with.{did_you_mean(name, list(NETWORKS))}',
            hint=f"features: {', '.join(NETWORKS)}, or MODULE:CALLABLE for your own",
        )
    key = name, size, device
    if key not in _loaded:
        network = NETWORKS[name](callback).to(device) if name in NETWORKS else import_callable(name, device)[0]
        frozen = Frozen(name, network)
        frozen.check(size, device)
        _loaded[key] = frozen
    return _loaded[key]
