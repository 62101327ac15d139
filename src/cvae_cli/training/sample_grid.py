"""The grid of pictures that a training saves after each epoch."""

import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from cvae_cli.data import conditions
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.pretrained import PROMPTS
from cvae_cli.pictures.files import save_picture
from cvae_cli.pictures.grid import Labels, enlarge, grid, readable_scale, to_pil
from cvae_cli.pictures.pixels import to_float

_COLUMNS = 10
_SAMPLE_ROWS = 4


def save_sample_grid(model: CVAE, validation: Dataset, path: Path) -> None:
    """Save a row of validation pictures, a row of their reconstructions, and rows of samples as a PNG, with labels.

    Each column of samples has its own class, or with captions the caption of the picture at its top. The file says what
    the pictures show.
    """
    shown = validation.limit(_COLUMNS)
    images = to_float(torch.from_numpy(shown.images)).to(model.device)
    condition = torch.from_numpy(shown.conditions.values(np.arange(len(shown)))).to(model.device)
    samples = model.sample(_sample_conditions(shown, condition))
    rows = torch.cat([images, model.reconstruct(images, condition), samples])
    scale = readable_scale(model.config.image.size)
    pictures = [enlarge(picture, scale) for picture in to_pil(rows)]
    said = [shown.conditions.text(column) for column in range(len(shown))]
    text = {PROMPTS: json.dumps(said)} if model.is_conditional else {}
    save_picture(grid(pictures, columns=len(shown), labels=_labels(model, shown)), path, text)


def _labels(model: CVAE, shown: Dataset) -> Labels:
    """Name the rows, and what is above the originals and the samples, unless the model is not told what they show."""
    rows = ["original", "reconstruction", "samples", *[""] * (_SAMPLE_ROWS - 1)]
    if not model.is_conditional:
        return Labels(rows=rows)
    originals = samples = [shown.conditions.text(column) for column in range(len(shown))]
    if isinstance(shown.conditions, conditions.Labels):
        names = [each.name for each in shown.conditions.classes]
        samples = [names[column % len(names)] for column in range(len(shown))]
    empty = [""] * len(shown)
    return Labels(rows=rows, pictures=[*originals, *empty, *samples, *empty * (_SAMPLE_ROWS - 1)])


def _sample_conditions(shown: Dataset, condition: Tensor) -> Tensor:
    """Return the conditions of the samples, row by row."""
    if isinstance(shown.conditions, conditions.Labels):
        columns = torch.arange(len(shown), device=condition.device)
        return (columns % len(shown.conditions.classes)).repeat(_SAMPLE_ROWS)
    return condition.repeat(_SAMPLE_ROWS, 1)
