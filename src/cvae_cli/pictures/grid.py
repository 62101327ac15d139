"""Convert tensors to Pillow images, and arrange pictures in a grid."""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from PIL import Image

if TYPE_CHECKING:
    from torch import Tensor

_MARGIN = 2  # pixels between the pictures of a grid


def to_pil(images: "Tensor") -> list[Image.Image]:
    """Convert float `(n, c, h, w)` in [0, 1] to Pillow images, mode L or RGB."""
    from cvae_cli.pictures.pixels import to_uint8

    return [
        Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)
        for array in to_uint8(images).cpu().numpy()
    ]


def grid(pictures: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Arrange pictures of one size in a grid, row by row. A single picture gets no margin.

    Args:
        columns: pictures in a row; when absent, the grid is about as wide as it is high.
    """
    columns = min(columns or math.ceil(math.sqrt(len(pictures))), len(pictures))
    rows = math.ceil(len(pictures) / columns)
    width, height = pictures[0].size
    sheet = Image.new(
        pictures[0].mode,
        (columns * (width + _MARGIN) - _MARGIN, rows * (height + _MARGIN) - _MARGIN),
        "white",
    )
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        sheet.paste(picture, (column * (width + _MARGIN), row * (height + _MARGIN)))
    return sheet
