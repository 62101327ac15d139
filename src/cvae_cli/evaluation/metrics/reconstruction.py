"""Metrics of reconstructions: how close a picture comes to the original."""

from typing import Any

from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Settings
from cvae_cli.evaluation.metrics.metric import ReconstructionMetric
from cvae_cli.evaluation.streams import ReconstructionBatch

Images = Float[Tensor, "b c h w"]

_EACH_IMAGE = {"mse, mae, ssim, ssim-wang, ms-ssim, psnr": "of each picture, then their mean; values in [0, 1]"}
_WINDOW = "11x11 Gaussian window, sigma 1.5, data_range 1.0, in each channel"
_RADIUS = 5
"""How far a window of SSIM reaches from the pixel in its centre."""


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


class MeanAbsoluteError(ReconstructionMetric):
    """The absolute difference of a reconstruction, a mean over pixels and channels, values in [0, 1]."""

    name = "mae"
    label = "mae, mean over pixels"
    direction = "lower"

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return (batch.images - batch.reconstructions).abs().flatten(1).mean(1)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE


class StructuralSimilarity(ReconstructionMetric):
    """The structural similarity with pictures reflected at their border, as in torchmetrics and in the article."""

    name = "ssim"
    label = "ssim, border reflected"
    direction = "higher"
    min_size = _RADIUS + 1

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return ssim(batch)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE | {"ssim": f"{_WINDOW}, around every pixel; pictures are reflected at their border"}


class PublishedStructuralSimilarity(ReconstructionMetric):
    """The structural similarity over windows that lie within the picture, as published by Wang et al. 2004."""

    name = "ssim-wang"
    label = "ssim-wang, no border"
    direction = "higher"
    min_size = 2 * _RADIUS + 1

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        return published_ssim(batch)

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE | {"ssim-wang": f"{_WINDOW}, within the picture; equals scikit-image with these settings"}


class MultiScaleStructuralSimilarity(ReconstructionMetric):
    """The structural similarity at five scales, each half the one before (Wang et al. 2003)."""

    name = "ms-ssim"
    label = "ms-ssim"
    direction = "higher"
    min_size = 16 * (2 * _RADIUS + 1)  # the smallest scale holds one window

    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

        return multiscale_structural_similarity_index_measure(
            batch.reconstructions, batch.images, data_range=1.0, reduction="none"
        )

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return _EACH_IMAGE | {"ms-ssim": f"{_WINDOW}, within the picture, at 5 scales with the published weights"}


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


def ssim(batch: ReconstructionBatch) -> Float[Tensor, " b"]:
    """Structural similarity in the windows around all pixels; pictures are reflected at their border."""
    return batch.ssim_map.flatten(1).mean(1)


def published_ssim(batch: ReconstructionBatch) -> Float[Tensor, " b"]:
    """Structural similarity in the windows that lie within the picture (Wang et al. 2004)."""
    within = slice(_RADIUS, -_RADIUS)
    return batch.ssim_map[..., within, within].flatten(1).mean(1)


def closeness(images: Images, others: Images) -> dict[str, Float[Tensor, " b"]]:
    """Compare each picture with another.

    Returns:
        `mse` (summed over pixels), `mse_per_pixel`, and for pictures that are large enough `ssim` and `ssim-wang`.
    """
    batch = ReconstructionBatch(images, others)
    error = squared_error(images, others)
    scores = {"mse": error, "mse_per_pixel": error / images[0].numel()}
    for metric, compute in ((StructuralSimilarity, ssim), (PublishedStructuralSimilarity, published_ssim)):
        if images.shape[-1] >= metric.min_size:
            scores[metric.name] = compute(batch)
    return scores
