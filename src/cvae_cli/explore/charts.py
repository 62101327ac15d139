"""Charts: where the latents of pictures lie in a plane, which lie next to each other, and along what they vary."""

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from cvae_cli.data.catalog import find_source
from cvae_cli.errors import CvaeError
from cvae_cli.evaluation.latents import TITLES
from cvae_cli.evaluation.latents.projection import Method, project
from cvae_cli.events import Callback, Progress
from cvae_cli.explore.examples import prompts_of
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.directions import Directions
from cvae_cli.models.latents import DatasetLatents, find_data
from cvae_cli.models.pretrained import training_data
from cvae_cli.pictures.grid import to_pil

if TYPE_CHECKING:
    from cvae_cli.data.dataset import Dataset

PICTURES = 500
"""Pictures of the data set on a chart."""
_SAMPLES = 64  # of the prior, where there is no data set: each costs as much as a drawing
_NEIGHBOURS = 8


@dataclass
class Chart:
    """The latents of pictures of a model.

    Attributes:
        latents: of pictures of its data set, or samples of its prior.
        data: the pictures; absent for samples of the prior.
        why: why it is of the prior, if it is.
    """

    model: CVAE
    latents: DatasetLatents
    data: "Dataset | None"
    why: str = ""
    _points: dict[Method, Any] = field(default_factory=dict)

    def points(self, method: Method, callback: Callback) -> list[list[float]]:
        """Return the place of each picture, from 0 to 1 in both directions."""
        if method not in self._points:
            callback(Progress(TITLES[method], 0, None))
            places = project(self.latents.means, method, seed=0)
            low, extent = places.min(0), max(float(np.ptp(places, axis=0).max()), 1e-9)
            middle = (1 - np.ptp(places, axis=0) / extent) / 2
            self._points[method] = ((places - low) / extent + middle).round(4).tolist()
        return self._points[method]

    @property
    def title(self) -> str:
        """What it shows."""
        if self.data is None:
            return f"{len(self.latents)} samples of the prior"
        return f"{len(self.latents):,} pictures of {self.latents.dataset} ({self.latents.split})"

    @cached_property
    def directions(self) -> Directions:
        """The directions along which the latents vary."""
        return self.model.directions(self.latents)

    def picture(self, point: int) -> Image.Image:
        """Return the picture of a point: that of the data set, or what the decoder makes of a sample."""
        if self.data is None:
            return self.reconstruction(point)
        pixels = self.data.read(np.array([point]))[0]
        return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)

    def reconstruction(self, point: int) -> Image.Image:
        """Return what the decoder makes of the latent of a point."""
        latent = torch.from_numpy(self.latents.means[point]).view(1, *self.model.latent_shape).to(self.model.device)
        return to_pil(self.model.decode(latent, self.model.condition([self.latents.texts[point]])))[0]

    def neighbours(self, point: int) -> list[int]:
        """Return the pictures whose latents are nearest, the nearest first."""
        distance = np.linalg.norm(self.latents.means - self.latents.means[point], axis=1)
        distance[point] = np.inf
        return np.argsort(distance, kind="stable")[: min(_NEIGHBOURS, len(distance) - 1)].tolist()


def make_chart(model: CVAE, *, data_dir: Path | None, callback: Callback) -> Chart:
    """Encode pictures of the data set that a model was trained on; without them, draw latents from its prior.

    Nothing is downloaded.
    """
    try:
        data = _data_at_hand(model, data_dir, callback)
    except CvaeError as error:
        latents = model.prior_latents(prompts_of(model.config), n=_SAMPLES, callback=callback)
        return Chart(model, latents, None, why=error.message)
    latents = model.latents(data, n=PICTURES, callback=callback)
    return Chart(model, latents, data.take(latents.rows))


def _data_at_hand(model: CVAE, data_dir: Path | None, callback: Callback) -> "Dataset":
    name = training_data(model.config, option="--data-dir", called=model.called)
    if data_dir is None and not find_source(name).is_here():
        raise CvaeError(f"{name} is not on this machine; --data-dir names a folder with it")
    return find_data(model, name, split=None, data_dir=data_dir, callback=callback)
