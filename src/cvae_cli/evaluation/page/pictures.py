"""Pictures inside a page: each is a data URI with an alternative text, so that the page needs no other file."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image

_GAP = 2  # pixels between the pictures of a strip
_READABLE = 56  # pixels of a screen that a picture should be wide
_LOSSLESS = 64  # pixels a side up to which pictures keep every pixel


@dataclass(frozen=True)
class Shown:
    """A picture, or a strip of several.

    Attributes:
        uri: its content.
        alt: what it shows, for those who cannot see it.
        width, height: pixels of a screen.
        is_enlarged: whether its pixels are shown as squares.
    """

    uri: str
    alt: str
    width: int
    height: int
    is_enlarged: bool


def show(pictures: Sequence[Image.Image], alt: str, *, columns: int | None = None) -> Shown:
    """Put pictures of one size into one: side by side, or in so many columns. Gaps are transparent."""
    size = pictures[0].width
    columns = columns or len(pictures)
    rows = -(-len(pictures) // columns)
    sheet = pictures[0]
    if len(pictures) > 1:
        sheet = Image.new("RGBA", (columns * (size + _GAP) - _GAP, rows * (size + _GAP) - _GAP), (0, 0, 0, 0))
        for index, picture in enumerate(pictures):
            row, column = divmod(index, columns)
            sheet.paste(picture.convert("RGB"), (column * (size + _GAP), row * (size + _GAP)))
    scale = max(1, round(_READABLE / size))
    return Shown(_data_uri(sheet, size), alt, sheet.width * scale, sheet.height * scale, scale > 1)


def _data_uri(sheet: Image.Image, size: int) -> str:
    """Return a picture as a data URI. Small ones keep every pixel; of large ones a page would become too heavy."""
    buffer = io.BytesIO()
    if size <= _LOSSLESS:
        sheet.save(buffer, "PNG", optimize=True)
        kind = "png"
    else:
        sheet.save(buffer, "WEBP", quality=90)
        kind = "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"
