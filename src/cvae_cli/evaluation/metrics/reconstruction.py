"""Metrics of reconstructions: how close a picture comes to the original."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Settings
from cvae_cli.evaluation.metrics.metric import ReconstructionMetric
from cvae_cli.evaluation.streams import ReconstructionBatch

Images = Float[Tensor, "b c h w"]

_EACH_IMAGE = {"mse, ssim, psnr": "of each image, then their mean; values in [0, 1]"}


class MeanSquaredError(ReconstructionMetric):
    """The squared error of a reconstruction, summed over pixels and channels, values in [0, 1]."""

    name = "mse"
    label = "mse, sum over pixels"
    direction = "lower"

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return squared_error(batch.images, batch.reconstructions)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE


class StructuralSimilarity(ReconstructionMetric):
    """The structural similarity of a picture and its reconstruction (Wang et al. 2004)."""

    name = "ssim"
    label = "ssim"
    direction = "higher"

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return ssim(batch.images, batch.reconstructions)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE | {"ssim": "11x11 Gaussian window, sigma 1.5, data_range 1.0"}


class PeakSignalToNoiseRatio(ReconstructionMetric):
    """The peak signal-to-noise ratio of a reconstruction, in dB."""

    name = "psnr"
    label = "psnr, dB"
    direction = "higher"

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return psnr(batch.images, batch.reconstructions)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE


def squared_error(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Squared error summed over an image's pixels and channels, values in [0, 1]."""
    return (images - others).square().flatten(1).sum(1)


def psnr(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB, for values in [0, 1]."""
    per_pixel = (images - others).square().flatten(1).mean(1)
    return -10 * per_pixel.clamp_min(1e-12).log10()


def ssim(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004) with an 11x11 Gaussian window of sigma 1.5, values in [0, 1]."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(others, images, data_range=1.0, reduction="none")
    assert isinstance(values, torch.Tensor)
    return values.reshape(len(images))


def closeness(images: Images, others: Images) -> dict[str, Float[Tensor, " b"]]:
    """Compare each picture with another: `mse` (summed over pixels), `mse_per_pixel` and `ssim`."""
    error = squared_error(images, others)
    return {"mse": error, "mse_per_pixel": error / images[0].numel(), "ssim": ssim(images, others)}
