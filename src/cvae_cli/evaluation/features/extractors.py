"""The loaders of the feature extractors of `features.EXTRACTORS`."""

import io
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.errors import CorruptError
from cvae_cli.evaluation.features import Extractor
from cvae_cli.events import Callback
from cvae_cli.weights.download import file_sha256
from cvae_cli.weights.registry import get_weights, require_weights

_PART = "features."  # the convolutions in a file of AlexNet, without its classifier


def fashion(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """The Fashion-MNIST classifier that ships with the package; needs no download."""
    from cvae_cli.evaluation.features.fashion_cnn import VERSION, WEIGHTS, FashionCNN, load_fashion_cnn

    protocol = {"features": f"fashion-cnn {VERSION}", "weights_sha256": file_sha256(WEIGHTS), "resize": "none (28x28)"}
    return Extractor(load_fashion_cnn(device), FashionCNN.num_features, protocol, chunk=32)


def pictures(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """The small network for photographs and drawings that ships with the package; needs no download."""
    from cvae_cli.evaluation.features.picture_cnn import SIDE, VERSION, WEIGHTS, PictureCNN, load_picture_cnn

    protocol = {
        "features": f"picture-cnn {VERSION}",
        "weights_sha256": file_sha256(WEIGHTS),
        "resize": f"{SIDE}x{SIDE}, bilinear, antialiased",
    }
    return Extractor(load_picture_cnn(device), PictureCNN.num_features, protocol, chunk=32)


class Inception(nn.Module):
    """Inception-v3 of the original FID: maps uint8 pictures `(n, 3, h, w)` to 2,048 features."""

    num_features = 2048

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Float[Tensor, "n 2048"]:
        return self.network(images)

    def logits(self, features: Float[Tensor, "n 2048"]) -> Float[Tensor, "n 1008"]:
        """The logits of the classes without their biases, as the inception score takes them."""
        return features @ self.network.fc.weight.T


def inception(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """Inception-v3 with the weights of the original FID, and with TensorFlow 1's resizing (no antialiasing).

    Heusel et al. 2017; weights and resizing as in torch-fidelity, so that scores compare with published ones.

    Raises:
        MissingError: the weights are not on this machine and cannot be downloaded.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    entry = get_weights("inception")
    path = require_weights(entry, callback)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # reads the pickle without running its code
        copy = io.BytesIO()
        torch.save(tensors, copy)  # the library unpickles without this protection, so it gets bytes written here
        copy.seek(0)
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], copy, antialias=False)  # type: ignore[arg-type]
    except Exception as error:  # torch's own message would advise to unpickle without protection
        raise _not_in_file(path, "Inception network", "inception", error) from error
    protocol = {
        "features": "inception-v3-compat, pool 2048",
        "weights_sha256": entry.sha256,
        "resize": "299x299, bilinear as in TensorFlow 1, antialias=False",
    }
    faster = Inception(network).to(memory_format=torch.channels_last).to(device)
    return Extractor(faster, Inception.num_features, protocol, chunk=2)


def clip(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """Both towers of a CLIP model, OpenAI's ViT-B/32 if `model` is absent; see `clip_model.ClipModel`."""
    from cvae_cli.evaluation.features.clip_model import ClipModel

    network = ClipModel(model, device, callback)
    return Extractor(network, network.num_features, network.protocol)


def lpips(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """The network of LPIPS: AlexNet trained on ImageNet, and what each of its channels counts, which ships with us.

    It maps two sets of pictures, float `(n, 3, h, w)` in [0, 1], to the distance of each pair, `(n,)`.

    Raises:
        MissingError: the weights of AlexNet are not on this machine and cannot be downloaded.
    """
    from cvae_cli.evaluation.features.alexnet_distance import AlexNetDistance

    entry = get_weights("alexnet")
    path = require_weights(entry, callback)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)
        own = {name.removeprefix(_PART): tensor for name, tensor in tensors.items() if name.startswith(_PART)}
        network = AlexNetDistance(own)
    except Exception as error:
        raise _not_in_file(path, "network AlexNet", "alexnet", error) from error
    protocol = {"features": "lpips 0.1, alexnet", "weights_sha256": entry.sha256, "resize": "none"}
    return Extractor(network.requires_grad_(False).to(device), 1, protocol)


def own(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """The user's own features, `MODULE:CALLABLE`; see `own_features.load_own`."""
    from cvae_cli.evaluation.features.own_features import load_own

    assert model is not None
    network, protocol = load_own(model, device)
    assert network.num_features is not None
    return Extractor(network, network.num_features, protocol, has_threads=False)


def _not_in_file(path: Any, what: str, weights: str, error: Exception) -> CorruptError:
    return CorruptError(
        f"{path} does not hold the {what} ({type(error).__name__})",
        hint=f"download it again:  cvae download-weights {weights}",
    )
