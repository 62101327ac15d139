"""What a page shows of the latent space: where pictures lie, and what lies between two prompts."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Settings
from cvae_cli.evaluation.latents import latent_spaces
from cvae_cli.evaluation.latents.projection import MIN_PICTURES
from cvae_cli.evaluation.page.figures import Drawing, draw
from cvae_cli.evaluation.page.pictures import Shown, show
from cvae_cli.events import Callback
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.ends import End
from cvae_cli.models.interpolation import pictures_between
from cvae_cli.models.sampling import sample_noise
from cvae_cli.pictures.grid import to_pil

PICTURES = 1000
"""How many pictures the figure shows at most."""
STEPS = 15
"""The pictures of an interpolation, with both ends."""


@dataclass(frozen=True)
class Interpolation:
    """The way from one prompt to another.

    Attributes:
        start, end: the prompts.
        models: by label, a picture for each step.
    """

    start: str
    end: str
    models: dict[str, list[Shown]]

    @property
    def steps(self) -> int:
        """The number of pictures of each model."""
        return STEPS


def draw_spaces(
    models: Mapping[str, CVAE], data: Dataset, *, seed: int, data_dir: str | Path | None, callback: Callback
) -> Drawing | None:
    """Draw the latent spaces side by side; None if there are too few pictures.

    Args:
        models: by label.
        data: the pictures on which the models were measured.
    """
    n = min(PICTURES, len(data))
    if n < MIN_PICTURES:
        return None
    spaces = latent_spaces(
        list(models.values()),
        dataset=data.name,
        split=data.split,
        n=n,
        seed=seed,
        data_dir=data_dir,
        callback=callback,
    )
    named = [replace(space, label=label) for space, label in zip(spaces.spaces, models, strict=True)]
    spaces = replace(spaces, spaces=named)
    probes = [f"{space.label}: linear probe {space.probe.accuracy:.3f}" for space in named if space.probe]
    return draw(spaces.figure(), ". ".join([spaces.title, *probes]))


def data_options(data: Dataset, *, data_dir: str | Path | None) -> list[str]:
    """Return the options of `cvae latents` that name the pictures of `draw_spaces`."""
    options = ["--dataset", data.name, "--split", data.split, "-n", str(min(PICTURES, len(data)))]
    return options if data_dir is None else [*options, "--data-dir", str(data_dir)]


def interpolate(
    models: Mapping[str, CVAE], datasets: list[Dataset], ends: tuple[int, int], settings: Settings
) -> Interpolation:
    """Draw the way between the prompts of two pictures with the same noise. A model without prompts has two noises.

    Args:
        models: by label.
        datasets: the same pictures with the conditions of each model.
        ends: which two of them say the prompts.
    """
    start, end = (datasets[0].conditions.text(row) for row in ends)
    ways = {
        label: _way(model, data, ends, settings) for (label, model), data in zip(models.items(), datasets, strict=True)
    }
    return Interpolation(start, end, ways)


def _way(model: CVAE, data: Dataset, ends: tuple[int, int], settings: Settings) -> list[Shown]:
    condition = torch.from_numpy(data.conditions.values(torch.tensor(ends).numpy())).to(model.device)
    noise = settings.temperature * sample_noise(
        condition,
        model.config.condition,
        model.latent_shape,
        seed=settings.seed,
        prompts=["", ""],
        indices=[0, 0] if model.is_conditional else [0, 1],
        same_noise=True,
    ).to(model.device)
    start, end = (End(condition[[row]], noise=noise[[row]]) for row in range(2))
    pictures = to_pil(pictures_between(model, start, end, steps=STEPS, guidance=settings.guidance))
    return [show([picture], f"step {number} of {STEPS}") for number, picture in enumerate(pictures, 1)]
