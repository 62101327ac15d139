"""Convert tensors to Pillow images, enlarge pictures, and arrange them in a grid with labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from PIL import Image, ImageOps

from cvae_cli.errors import UsageError
from cvae_cli.pictures.lettering import Lettering, letter, stack

if TYPE_CHECKING:
    from torch import Tensor

RESAMPLING = ("nearest", "lanczos")
"""The ways to enlarge a picture: `nearest` keeps its pixels as squares, `lanczos` smooths them."""
MAX_SCALE = 64
READABLE = 108
"""The width of a picture, in pixels, above which a label of a word or two fits."""

_MARGIN = 2  # pixels between the pictures of a grid
_GAP = 8  # pixels between a label and the pictures
_MAX_BESIDE = 200  # pixels; the width of labels to the left
_MAX_PIXELS = 178_000_000  # Pillow opens no larger picture


def to_pil(images: "Tensor") -> list[Image.Image]:
    """Convert float `(n, c, h, w)` in [0, 1] to Pillow images, mode L or RGB."""
    from cvae_cli.pictures.pixels import to_uint8

    return [
        Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)
        for array in to_uint8(images).cpu().numpy()
    ]


@dataclass(frozen=True)
class Labels:
    """What is written on a sheet of pictures.

    Attributes:
        title: above all pictures.
        rows: to the left of each row.
        pictures: above each picture; a line break begins a new line.
    """

    title: str = ""
    rows: Sequence[str] = ()
    pictures: Sequence[str] = ()


def check_enlargement(scale: int | None, resample: str) -> None:
    """Raise a UsageError if pictures cannot be enlarged so; the bounds are those of the commands' options."""
    if scale is not None and not 1 <= scale <= MAX_SCALE:
        raise UsageError(f"scale must be from 1 to {MAX_SCALE}, not {scale}")
    if resample not in RESAMPLING:
        raise UsageError(f'no way to enlarge pictures "{resample}"', hint=f"ways: {', '.join(RESAMPLING)}")


def enlarge(picture: Image.Image, scale: int, resample: str = "nearest") -> Image.Image:
    """Make a picture `scale` times as wide and as high.

    Args:
        resample: one of `RESAMPLING`.
    """
    size = (picture.width * scale, picture.height * scale)
    return picture if scale == 1 else picture.resize(size, Image.Resampling[resample.upper()])


def readable_scale(size: int) -> int:
    """The smallest scale at which labels fit beside pictures of this size."""
    return math.ceil(READABLE / size)


def check_sheet(pictures: int, columns: int | None, size: int) -> None:
    """Raise a UsageError if a sheet would be larger than what other programs open.

    Args:
        pictures: the number of pictures.
        size: pixels a side of each, as it is on the sheet.
    """
    columns = _columns(pictures, columns)
    width, height = (number * (size + _MARGIN) for number in (columns, math.ceil(pictures / columns)))
    if width * height > _MAX_PIXELS:
        raise UsageError(
            f"a sheet of {width:,} x {height:,} pixels is too large to be opened",
            hint="ask for fewer pictures, for a smaller --scale, or for a file each:  --format png -o DIR",
        )


def grid(pictures: Sequence[Image.Image], *, columns: int | None = None, labels: Labels | None = None) -> Image.Image:
    """Arrange pictures of one size in a grid, row by row. A single picture gets no margin.

    Args:
        columns: pictures in a row; when absent, the grid is about as wide as it is high.
        labels: what is written beside the pictures.
    """
    columns = _columns(len(pictures), columns)
    layout = _Layout.of(pictures[0].size, len(pictures), columns, labels or Labels())
    sheet = Image.new(pictures[0].mode, layout.size, "white")
    layout.title.draw(sheet, 0, 0)
    for row, lettering in enumerate(layout.rows):
        lettering.draw(sheet, 0, layout.tops[row] + max(0, (pictures[0].height - lettering.height) // 2))
    for index, picture in enumerate(pictures):
        row, column = divmod(index, columns)
        x = layout.left + column * (layout.cell + _MARGIN)
        sheet.paste(picture, (x, layout.tops[row]))
        if layout.pictures:
            layout.pictures[index].draw(sheet, x, layout.tops[row] - layout.pictures[index].height)
    return ImageOps.expand(sheet, _GAP, "white") if labels else sheet


@dataclass(frozen=True)
class _Layout:
    """Where everything is on a sheet, in pixels.

    Attributes:
        size: the sheet's width and height.
        cell: the width of a column.
        left: where the first column begins.
        tops: where the pictures of each row begin.
        title, rows, pictures: the labels.
    """

    size: tuple[int, int]
    cell: int
    left: int
    tops: list[int]
    title: Lettering
    rows: list[Lettering]
    pictures: list[Lettering]

    @classmethod
    def of(cls, size: tuple[int, int], count: int, columns: int, labels: Labels) -> "_Layout":
        """Lay out `count` pictures of a size."""
        width, height = size
        cell = max(width, READABLE) if labels.pictures else width
        beside = [letter(text, _MAX_BESIDE) for text in labels.rows]
        above = [stack(*(letter(line, cell - _GAP) for line in text.split("\n"))) for text in labels.pictures]
        left = max((each.width for each in beside), default=-_GAP) + _GAP
        whole = left + columns * (cell + _MARGIN) - _MARGIN
        title = letter(labels.title, max(whole, _MAX_BESIDE))
        tops = []
        y = title.height + (_GAP if title.lines else 0)
        for row in range(math.ceil(count / columns)):
            heads = [each.height for each in above[row * columns : (row + 1) * columns]]
            y += max(heads, default=0)
            tops.append(y)
            y += max([height, *(each.height for each in beside[row : row + 1])]) + _MARGIN
        return cls((max(whole, title.width), y - _MARGIN), cell, left, tops, title, beside, above)


def _columns(pictures: int, columns: int | None) -> int:
    return min(columns or math.ceil(math.sqrt(pictures)), pictures)
