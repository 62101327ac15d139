"""The picture that training draws after each epoch."""

from pathlib import Path

import torch

from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures import grid, save_png, to_pil
from cvae_cli.pixels import to_float

_COLUMNS = 10
_SAMPLE_ROWS = 4


def overview(model: CVAE, valid: Dataset, path: Path) -> None:
    """Draw a row of validation pictures, a row of their reconstructions, and rows of samples, a class a column."""
    shown = valid.limit(_COLUMNS)
    images = to_float(torch.from_numpy(shown.images)).to(model.device)
    condition = torch.from_numpy(shown.labels).to(model.device)
    classes = torch.arange(_COLUMNS * _SAMPLE_ROWS, device=model.device) % len(valid.classes)
    rows = torch.cat([images, model.reconstruct(images, condition), model.sample(classes)])
    save_png(grid(to_pil(rows), columns=len(shown)), path)
