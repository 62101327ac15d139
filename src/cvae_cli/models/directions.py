"""Directions of the latent space that a picture can be moved along, and the pictures that this gives."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.condition import Condition
from cvae_cli.models.ends import End
from cvae_cli.models.latents import DatasetLatents
from cvae_cli.models.own_pictures import open_pictures, picture_conditions
from cvae_cli.models.sampling import chunk_size, sample_noise
from cvae_cli.pictures.pixels import to_float

_PRINCIPAL = 8
_FLAT = 1e-6  # a standard deviation below which latents do not vary, so that nothing can be moved


@dataclass(frozen=True)
class Directions:
    """Ways in which a latent can be moved.

    Attributes:
        names: `principal 1`, `principal 2`, ... for the directions in which latents vary most, then `number 0`,
            `number 1`, ... for single numbers of the latent; in a map of latents a number is a whole channel.
        steps: one row for each name: the move by one standard deviation of the latents that the directions come from.
        shares: the share of the variance of the latents in each direction.
    """

    names: list[str]
    steps: Float32[np.ndarray, "k d"]
    shares: list[float]

    def move(self, amounts: Mapping[str, float]) -> Float32[np.ndarray, " d"]:
        """Return the sum of moves, given in standard deviations by name.

        Raises:
            UsageError: there is no such direction.
        """
        unknown = next((name for name in amounts if name not in self.names), None)
        if unknown is not None:
            raise UsageError(
                f'no direction "{unknown}".{did_you_mean(unknown, self.names)}',
                hint=f"directions: {', '.join(self.names)}",
            )
        way = np.zeros(self.steps.shape[1], np.float32)
        for name, amount in amounts.items():
            way += np.float32(amount) * self.steps[self.names.index(name)]
        return way


def find_directions(latents: DatasetLatents, latent_shape: tuple[int, ...]) -> Directions:
    """Return the directions of some latents: the principal ones first, then the single numbers.

    Directions in which the latents do not vary are left out.

    Args:
        latents: of two pictures at least, of a model with this shape of latents.

    Raises:
        UsageError: there are fewer than two pictures.
    """
    if len(latents) < 2:
        raise UsageError("directions need the latents of at least two pictures")
    values = latents.means.astype(np.float64)
    count = latent_shape[0]
    centred = values - values.mean(0)
    _, lengths, axes = np.linalg.svd(centred, full_matrices=False)
    axes *= np.sign(axes[np.arange(len(axes)), np.abs(axes).argmax(1)])[:, None]  # the same way round on all machines
    deviations = lengths / np.sqrt(len(values) - 1)
    steps = [axis * deviation for axis, deviation in zip(axes[:_PRINCIPAL], deviations, strict=False)]
    names = [f"principal {index}" for index in range(1, len(steps) + 1)]
    channels = values.reshape(len(values), count, -1)
    for number, deviation in enumerate(channels.mean(2).std(0, ddof=1)):
        one = np.zeros(channels.shape[1:])
        one[number] = deviation
        steps.append(one.ravel())
        names.append(f"number {number}")
    total = float(centred.var(0, ddof=1).sum())
    sizes = [float((step**2).sum()) for step in steps]
    kept = [place for place, size in enumerate(sizes) if size > _FLAT**2]
    return Directions(
        [names[place] for place in kept],
        np.stack([steps[place] for place in kept]).astype(np.float32)
        if kept
        else np.zeros((0, values.shape[1]), np.float32),
        [sizes[place] / total for place in kept],
    )


def latent_of_picture(
    model: Autoencoder, picture: Path, *, prompt: str | None = None, callback: Callback = ignore
) -> End:
    """Return the latent of a picture in a file: the mean of q(z | x, c).

    Args:
        prompt: what it shows. Without it a model of classes takes the name of the picture's folder.

    Raises:
        UsageError, MissingError, CorruptError: see `open_pictures` and `picture_conditions`.
    """
    pixels = open_pictures([picture], model.config.image, callback=callback)
    condition = picture_conditions([picture], model, prompt=prompt, callback=callback)
    return End(condition, latent=model.encode(to_float(pixels).to(model.device), condition))


@torch.inference_mode()
def moved_picture(
    model: Autoencoder, picture: End, amounts: Mapping[str, float], directions: Directions
) -> Float[Tensor, "1 c h w"]:
    """Return the picture whose latent has been moved, alone in its batch.

    Args:
        picture: see `latent_of_picture`.
        amounts: how far, in standard deviations, by the name of the direction.

    Raises:
        UsageError: there is no such direction, or it belongs to another model.
    """
    latent = picture.latent
    assert latent is not None
    way = torch.from_numpy(directions.move(amounts)).to(latent)
    if way.numel() != latent.numel():
        raise UsageError(f"the directions are not of {model.called}: its latents have {latent.numel()} numbers")
    return model.decode(latent + way.view_as(latent), picture.condition)


@torch.inference_mode()
def draw_latents(
    model: Autoencoder, prompts: Sequence[str], *, n: int, seed: int, callback: Callback
) -> DatasetLatents:
    """Draw latents from the prior; see `CVAE.prior_latents`.

    They begin with the noise of the pictures of `CVAE.generate`. The class of a latent is the place of its prompt.
    """
    if not prompts:
        raise UsageError("there is no prompt")
    texts = [prompts[number % len(prompts)] for number in range(n)]
    size = chunk_size(model.device, model.config.image.size)
    conditions: Condition = model.condition(texts, callback=callback)
    noise = sample_noise(conditions, model.config.condition, model.latent_shape, seed=seed, prompts=texts)
    drawn = []
    for start in range(0, n, size):
        callback(Progress("drawing from the prior", start, n))
        rows = slice(start, start + size)
        drawn.append(model.prior.from_noise(noise[rows].to(model.device), conditions[rows]).flatten(1).cpu())
    values = torch.cat(drawn).float().numpy()
    return DatasetLatents(
        model=model.config.name,
        dataset="the prior",
        split="samples",
        rows=np.arange(n),
        means=values,
        samples=values,
        texts=texts,
        labels=np.arange(n) % len(prompts),
        classes=tuple(prompts),
    )
