"""The metrics, by name: what each says, which way is better, and what it needs."""

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.errors import UsageError, did_you_mean

Images = Float[Tensor, "b c h w"]


@dataclass(frozen=True)
class Metric:
    """A score.

    Attributes:
        label: as a table shows it, units included.
        better: which way, where there is one.
        of: what is measured: reconstructions, the bound, or samples.
        only: the one data set that it can judge, where there is but one.
        default: whether it is measured unless others are asked for.
    """

    name: str
    label: str
    better: Literal["lower", "higher"] | None
    of: Literal["reconstructions", "bound", "samples"]
    only: str | None = None
    default: bool = True

    @property
    def arrow(self) -> str:
        return {"lower": "↓", "higher": "↑", None: ""}[self.better]


METRICS = {
    metric.name: metric
    for metric in (
        Metric("mse", "mse, sum over pixels", "lower", "reconstructions"),
        Metric("ssim", "ssim", "higher", "reconstructions"),
        Metric("psnr", "psnr, dB", "higher", "reconstructions"),
        Metric("elbo", "-ELBO, nats", "lower", "bound"),
        Metric("rate", "rate, nats", None, "bound"),
        Metric("distortion", "distortion, nats", "lower", "bound"),
        Metric("bits-per-dim", "bits/dim", "lower", "bound"),
        Metric("active-units", "active units", None, "bound"),
        Metric("iwae", "importance-weighted bound, nats", "lower", "bound", default=False),
        Metric("accuracy", "accuracy", "higher", "samples", only="fashion-mnist"),
        Metric("fid", "fid", "lower", "samples", default=False),
        Metric("fid-fashion", "fid-fashion", "lower", "samples", only="fashion-mnist"),
        Metric("recall", "recall", "higher", "samples", only="fashion-mnist"),
        Metric("coverage", "coverage", "higher", "samples", only="fashion-mnist"),
        Metric("clip-score", "clip-score, 0 to 100", "higher", "samples", default=False),
        Metric("retrieval", "retrieval, R@1 of 100", "higher", "samples", default=False),
    )
}


def default_for(dataset: str) -> list[Metric]:
    """The metrics that are measured on a data set unless others are asked for: all that need no download."""
    return [metric for metric in METRICS.values() if metric.default and metric.only in {None, dataset}]


def get(name: str) -> Metric:
    """The metric of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return METRICS[name]
    except KeyError:
        raise UsageError(
            f'no metric "{name}".{did_you_mean(name, list(METRICS))}', hint=f"metrics: {', '.join(METRICS)}"
        ) from None


def squared_error(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Squared error summed over an image's pixels and channels, values in [0, 1]."""
    return (images - others).square().flatten(1).sum(1)


def closeness(images: Images, others: Images) -> dict[str, Float[Tensor, " b"]]:
    """How near each of `others` is to its picture: `mse` (summed over pixels), `mse_per_pixel`, `ssim`."""
    error = squared_error(images, others)
    return {"mse": error, "mse_per_pixel": error / images[0].numel(), "ssim": ssim(images, others)}


def psnr(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Peak signal-to-noise ratio in dB, the peak being 1."""
    per_pixel = (images - others).square().flatten(1).mean(1)
    return -10 * per_pixel.clamp_min(1e-12).log10()


def ssim(images: Images, others: Images) -> Float[Tensor, " b"]:
    """Structural similarity (Wang et al. 2004) with an 11x11 Gaussian window of sigma 1.5, values in [0, 1]."""
    from torchmetrics.functional.image import structural_similarity_index_measure

    values = structural_similarity_index_measure(others, images, data_range=1.0, reduction="none")
    assert isinstance(values, torch.Tensor)
    return values.reshape(len(images))
