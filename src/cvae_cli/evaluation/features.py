"""What a Fréchet distance is measured on: networks from uint8 pictures to feature vectors."""

import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from cvae_cli.errors import CorruptError
from cvae_cli.evaluation.clip_score import ClipJudge
from cvae_cli.events import Callback
from cvae_cli.weights.download import sha256


@dataclass(frozen=True)
class Features:
    """A feature extractor: a module `(n, 3, h, w) uint8 -> (n, d)` with `num_features = d`, or CLIP's two towers; and
    its protocol."""

    network: nn.Module | ClipJudge
    protocol: dict[str, Any] = field(default_factory=dict)


def fashion_features(device: torch.device, callback: Callback) -> Features:
    """The classifier that ships with the package; offline."""
    from cvae_cli.evaluation.fashion_cnn import VERSION, WEIGHTS, load_fashion_cnn

    return Features(
        load_fashion_cnn(device),
        {"features": f"fashion-cnn {VERSION}", "weights_sha256": sha256(WEIGHTS), "resize": "none (28x28)"},
    )


def inception_features(device: torch.device, callback: Callback) -> Features:
    """Inception-v3 with the weights of the original FID, resized as TensorFlow 1 did (no antialiasing).

    Heusel et al. 2017; weights and resizing as in torch-fidelity, so that numbers compare with the literature's.

    Raises:
        MissingError: the weights are not here and cannot be fetched.
    """
    from torchmetrics.image.fid import NoTrainInceptionV3

    from cvae_cli.weights import registry as weights

    entry = weights.get("inception")
    path = weights.require(entry, callback)
    try:
        tensors = torch.load(path, map_location="cpu", weights_only=True)  # a pickle, read without running it
        copy = io.BytesIO()
        torch.save(tensors, copy)  # the library unpickles without care: give it our own bytes
        copy.seek(0)
        network = NoTrainInceptionV3("inception-v3-compat", ["2048"], copy, antialias=False)  # type: ignore[arg-type]
    except Exception as error:  # torch's own sentence would advise to unpickle without care
        raise CorruptError(
            f"{path} does not hold the Inception network ({type(error).__name__})",
            hint="fetch it again:  cvae download-weights inception",
        ) from error
    network.num_features = 2048
    protocol = {
        "features": "inception-v3-compat, pool 2048",
        "weights_sha256": entry.sha256,
        "resize": "299x299, bilinear as in TensorFlow 1, antialias=False",
    }
    return Features(network.to(device), protocol)


def clip_features(model: str | None, device: torch.device, callback: Callback) -> Features:
    """A CLIP model as the judge of pictures and their captions; see `clip_score.ClipJudge`."""
    judge = ClipJudge(model, device, callback)
    return Features(judge, judge.protocol)


EXTRACTORS: dict[str, Callable[[torch.device, Callback], Features]] = {
    "fid": inception_features,
    "fid-fashion": fashion_features,
    "accuracy": fashion_features,
    "recall": fashion_features,
    "coverage": fashion_features,
}
"""What each metric of samples looks through. A Fréchet distance on other features than Inception's is not FID."""

FRECHET_DISTANCES = {"fid", "fid-fashion"}
BY_NEIGHBOURS = {"recall", "coverage"}
BY_CLIP = {"clip-score", "retrieval"}
