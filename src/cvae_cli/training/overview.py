"""The picture that training draws after each epoch."""

from pathlib import Path

import numpy as np
import torch

from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.files import save_png
from cvae_cli.pictures.grid import grid, to_pil
from cvae_cli.pictures.pixels import to_float

_COLUMNS = 10
_SAMPLE_ROWS = 4


def overview(model: CVAE, valid: Dataset, path: Path) -> None:
    """Draw a row of validation pictures, a row of their reconstructions, and rows of samples: a class a column, or
    for captions the column's own."""
    shown = valid.limit(_COLUMNS)
    images = to_float(torch.from_numpy(shown.images)).to(model.device)
    condition = torch.from_numpy(shown.conditions.values(np.arange(len(shown)))).to(model.device)
    rows = torch.cat([images, model.reconstruct(images, condition), model.sample(_asked(shown, condition))])
    save_png(grid(to_pil(rows), columns=len(shown)), path)


def _asked(shown: Dataset, condition: torch.Tensor) -> torch.Tensor:
    """The conditions of the samples, row by row."""
    if isinstance(shown.conditions, Labels):
        columns = torch.arange(len(shown), device=condition.device)
        return (columns % len(shown.conditions.classes)).repeat(_SAMPLE_ROWS)
    return condition.repeat(_SAMPLE_ROWS, 1)
