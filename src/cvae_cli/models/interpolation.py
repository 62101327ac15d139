"""Pictures between two others, and pictures that differ in one number of their latent."""

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.config.condition import ConditionSettings, LabelCondition
from cvae_cli.events import Callback, ignore
from cvae_cli.models.autoencoder import Autoencoder, joined
from cvae_cli.models.condition import Condition
from cvae_cli.models.ends import End
from cvae_cli.models.network import Latents
from cvae_cli.models.sampling import sample_noise

REACH = 3.0
"""How many standard deviations a number of the latent is moved to either side."""

_SAMPLES = 64  # of a fitted prior, from which the mean and the deviation of a number are estimated
_PARALLEL = 1e-4  # radians: between directions closer than this, or opposite, an arc is a straight line

Weights = Float[Tensor, " n"]
"""Numbers from 0, at the start, to 1, at the end."""
Pictures = Float[Tensor, "n c h w"]


@torch.inference_mode()
def pictures_between(
    model: Autoencoder,
    start: End,
    end: End,
    *,
    steps: int,
    guidance: float | None = None,
    callback: Callback = ignore,
) -> Pictures:
    """Return `steps` pictures from one end to the other, both included.

    The condition changes along the way, and with it the latent: between two prompts by way of their noises, from each
    of which the prior makes a latent; otherwise between their latents. The way is an arc where numbers are standard
    normal, and straight elsewhere.
    """
    weights = torch.linspace(0, 1, steps, device=model.device)
    settings = model.config.condition
    condition = conditions_between(settings, start.condition, end.condition, weights)
    if start.noise is not None and end.noise is not None:
        noise = arc(start.noise, end.noise, weights)
        return model.draw(noise, condition, guidance=guidance, callback=callback)
    way = arc if model.prior.is_normal else line
    latents = way(_latent(model, start, guidance), _latent(model, end, guidance), weights)
    return _decode(model, latents, condition, callback)


@torch.inference_mode()
def pictures_along(
    model: Autoencoder,
    condition: Condition,
    noise: Latents,
    dim: int,
    *,
    steps: int,
    guidance: float | None = None,
    callback: Callback = ignore,
) -> Pictures:
    """Return `steps` pictures whose latents differ in one number, from 3 standard deviations below its mean to 3 above.

    Args:
        condition, noise: of the picture that is changed, a batch of one.
        dim: which number. In a map of latents it is a channel, whose mean over all positions is moved.
    """
    latent = model.prior.from_noise(noise, condition, guidance=guidance)
    mean, deviation = _spread(model, condition, dim, guidance)
    wanted = mean + deviation * torch.linspace(-REACH, REACH, steps)
    latents = latent.repeat(steps, *[1] * (latent.ndim - 1))
    shift = wanted.to(latents) - latents[0, dim].mean()
    latents[:, dim] += shift.view(-1, *[1] * (latents.ndim - 2))
    return _decode(model, latents, condition.repeat_interleave(steps, dim=0), callback)


def conditions_between(settings: ConditionSettings, start: Condition, end: Condition, weights: Weights) -> Condition:
    """Return mixtures of two classes, `(n, classes)`, or vectors between those of two texts, `(n, d)`."""
    if isinstance(settings, LabelCondition):
        start, end = (F.one_hot(each, len(settings.classes)).float() for each in (start, end))
        return line(start, end, weights)
    return arc(start, end, weights)


def line(start: Tensor, end: Tensor, weights: Weights) -> Tensor:
    """Return points on the straight line from one point to another, `(n, ...)`; each of both is a batch of one."""
    weights = weights.view(-1, *[1] * (start.ndim - 1))
    return (1 - weights) * start + weights * end


def arc(start: Tensor, end: Tensor, weights: Weights) -> Tensor:
    """Return points on an arc around the origin, whose lengths go from that of one point to that of the other.

    Normal vectors of many dimensions have about the same length, and so have the points between (Shoemake 1985).
    """
    a, b = start.flatten().cpu().double(), end.flatten().cpu().double()
    angle = (a @ b / (a.norm() * b.norm())).clamp(-1, 1).acos()  # not a number where a point is the origin
    if not _PARALLEL < angle < torch.pi - _PARALLEL:
        return line(start, end, weights)
    share = weights.cpu().double()[:, None]
    direction = (((1 - share) * angle).sin() * a / a.norm() + (share * angle).sin() * b / b.norm()) / angle.sin()
    points = direction * ((1 - share) * a.norm() + share * b.norm())
    points[weights.cpu() == 0], points[weights.cpu() == 1] = a, b  # without rounding
    return points.to(start).reshape(len(weights), *start.shape[1:])


def _latent(model: Autoencoder, end: End, guidance: float | None) -> Latents:
    if end.latent is not None:
        return end.latent
    assert end.noise is not None
    return model.prior.from_noise(end.noise, end.condition, guidance=guidance)


def _spread(model: Autoencoder, condition: Condition, dim: int, guidance: float | None) -> tuple[Tensor, Tensor]:
    """Return the mean and the standard deviation of a number of the latent under the prior."""
    if model.prior.is_normal:
        return torch.tensor(0.0), torch.tensor(math.prod(model.latent_shape[1:]) ** -0.5)
    many = condition.repeat_interleave(_SAMPLES, dim=0)
    prompts = [""] * _SAMPLES
    noise = sample_noise(many, model.config.condition, model.latent_shape, seed=0, prompts=prompts).to(model.device)
    values = model.prior.from_noise(noise, many, guidance=guidance)[:, dim].reshape(_SAMPLES, -1).mean(1)
    return values.mean().cpu(), values.std().cpu()


def _decode(model: Autoencoder, latents: Latents, condition: Condition, callback: Callback) -> Pictures:
    return joined(model.in_chunks(model.decode, latents, condition), len(latents), callback)
