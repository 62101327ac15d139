"""Where interpolations and traversals begin: the noise of prompts, and the latents of pictures."""

from dataclasses import dataclass
from pathlib import Path

import torch

from cvae_cli.errors import UsageError
from cvae_cli.events import Callback
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.condition import Condition
from cvae_cli.models.network import Latents
from cvae_cli.models.own_pictures import open_pictures, picture_conditions
from cvae_cli.models.sampling import numbers_of, sample_noise
from cvae_cli.pictures.pixels import to_float


@dataclass(frozen=True)
class End:
    """One end of an interpolation, a batch of one: a prompt with its noise, or a picture with its latent."""

    condition: Condition
    noise: Latents | None = None
    latent: Latents | None = None


def find_ends(
    model: Autoencoder,
    start: str | Path,
    end: str | Path,
    *,
    prompt: str | None,
    seed: int,
    temperature: float,
    callback: Callback,
) -> list[End]:
    """Return the two ends of an interpolation; see `CVAE.interpolate`.

    Two prompts that say different things to the model have the same noise. If they say the same, only their noise
    differs: it is that of their first and second picture.

    Raises:
        UsageError: the model cannot use a prompt, or needs one for a picture.
        MissingError, CorruptError: a picture does not exist, or cannot be read.
    """
    given = [start, end]
    prompts = [each for each in given if isinstance(each, str)]
    paths = [each for each in given if isinstance(each, Path)]
    if prompt is not None and not paths:
        raise UsageError("--prompt says what pictures show, and both ends are prompts")
    found: dict[int, End] = {}
    if paths:
        pixels = open_pictures(paths, model.config.image, callback=callback)
        conditions = picture_conditions(paths, model, prompt=prompt, callback=callback)
        latents = model.encode(to_float(pixels).to(model.device), conditions)
        places = [place for place, each in enumerate(given) if isinstance(each, Path)]
        found |= {place: End(c[None], latent=z[None]) for place, c, z in zip(places, conditions, latents, strict=True)}
    if prompts:
        conditions = model.condition(prompts, callback=callback)
        differ = len(prompts) == 2 and not torch.equal(conditions[0], conditions[1])
        noise = temperature * sample_noise(
            conditions,
            model.config.condition,
            model.latent_shape,
            seed=seed,
            prompts=prompts,
            indices=[0, 0] if differ else numbers_of(prompts),
            same_noise=differ,
        ).to(model.device)
        places = [place for place, each in enumerate(given) if isinstance(each, str)]
        found |= {place: End(c[None], noise=e[None]) for place, c, e in zip(places, conditions, noise, strict=True)}
    return [found[0], found[1]]


def start_of(
    model: Autoencoder, dim: int, prompt: str | None, *, seed: int, temperature: float, callback: Callback
) -> tuple[Condition, Latents]:
    """Return the condition and the noise of the picture that a traversal changes, a batch of one.

    The noise does not depend on the prompt, so that prompts can be compared.

    Raises:
        UsageError: the latent has no number `dim`, or the model cannot use the prompt.
    """
    count, *sides = model.latent_shape
    if not 0 <= dim < count:
        what = "channels of a map" if sides else "numbers"
        raise UsageError(f"no number {dim} in the latent of {model.called}: it has {count} {what}, from 0")
    if prompt is None and model.is_conditional:
        raise UsageError("say what to draw", hint='for example:  --prompt "two dogs on a beach"')
    condition = model.condition([""]) if prompt is None else model.condition([prompt], callback=callback)
    settings = model.config.condition
    noise = sample_noise(condition, settings, model.latent_shape, seed=seed, prompts=[""], same_noise=True)
    return condition, temperature * noise.to(model.device)
