"""The feature extractors: networks from pictures to vectors, by name."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from cvae_cli.errors import CorruptError, UsageError, did_you_mean
from cvae_cli.events import Callback, ignore
from cvae_cli.weights.download import file_sha256


@dataclass(frozen=True, eq=False)
class Extractor:
    """A feature extractor.

    Attributes:
        network: maps uint8 pictures `(n, 3, h, w)` to vectors `(n, num_features)`, and may have other methods: the
            classifier of Fashion-MNIST also has `logits`, a CLIP model also `texts`.
        num_features: the length of a vector.
        protocol: what the vectors depend on besides the pictures.
        size: pixels a side of the only pictures that it is for; None if it resizes pictures of any size.
    """

    network: Any
    num_features: int
    protocol: dict[str, Any]
    size: int | None = None


def _fashion(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """The Fashion-MNIST classifier that ships with the package; needs no download."""
    from cvae_cli.evaluation.fashion_cnn import VERSION, WEIGHTS, FashionCNN, load_fashion_cnn

    protocol = {"features": f"fashion-cnn {VERSION}", "weights_sha256": file_sha256(WEIGHTS), "resize": "none (28x28)"}
    return Extractor(load_fashion_cnn(device), FashionCNN.num_features, protocol, size=28)


def _inception(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """Inception-v3 with the weights of the original FID, and with TensorFlow 1's resizing (no antialiasing).

    Heusel et al. 2017; weights and resizing as in torch-fidelity, so that scores compare with published ones.

    Raises:
        MissingError: the weights are not on this machine and cannot be downloaded.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    from cvae_cli.weights.registry import get_weights, require_weights

    entry = get_weights("inception")
    path = require_weights(entry, callback)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # reads the pickle without running its code
        copy = io.BytesIO()
        torch.save(tensors, copy)  # the library unpickles without this protection, so it gets bytes written here
        copy.seek(0)
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], copy, antialias=False)  # type: ignore[arg-type]
    except Exception as error:  # torch's own message would advise to unpickle without protection
        raise CorruptError(
            f"{path} does not hold the Inception network ({type(error).__name__})",
            hint="fetch it again:  cvae download-weights inception",
        ) from error
    protocol = {
        "features": "inception-v3-compat, pool 2048",
        "weights_sha256": entry.sha256,
        "resize": "299x299, bilinear as in TensorFlow 1, antialias=False",
    }
    return Extractor(network.to(device), 2048, protocol)


def _clip(device: torch.device, callback: Callback, model: str | None) -> Extractor:
    """Both towers of a CLIP model, OpenAI's ViT-B/32 if `model` is absent; see `clip_model.ClipModel`."""
    from cvae_cli.evaluation.clip_model import ClipModel

    clip = ClipModel(model, device, callback)
    return Extractor(clip, clip.num_features, clip.protocol)


EXTRACTORS: dict[str, Callable[[torch.device, Callback, str | None], Extractor]] = {
    "inception": _inception,
    "fashion": _fashion,
    "clip": _clip,
}
"""Name -> loader. A Fréchet distance on features other than Inception's is not FID."""


def load_extractor(name: str, device: torch.device, callback: Callback = ignore) -> Extractor:
    """Load a feature extractor, and download its weights if they are not on this machine.

    Args:
        name: one of `EXTRACTORS`, or `clip:MODEL` for another CLIP model than the default.

    Raises:
        UsageError: there is no such extractor.
        MissingError: the weights are not on this machine and cannot be downloaded.
        CorruptError: the weights are damaged.
    """
    kind, _, model = name.partition(":")
    if kind not in EXTRACTORS:
        raise UsageError(
            f'no feature extractor "{name}".{did_you_mean(kind, list(EXTRACTORS))}',
            hint=f"feature extractors: {', '.join(EXTRACTORS)}",
        )
    return EXTRACTORS[kind](device, callback, model or None)
