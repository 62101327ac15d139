"""Encode pictures as files, with a text inside. `FORMATS` lists the formats that can be written.

To add a format, write a function of the type `Encoder` and add a line to `FORMATS`. Pillow is imported by the functions
that need it, so that the help of a command can list the formats without loading it.
"""

import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli.paths import write_bytes

if TYPE_CHECKING:
    from PIL import Image

Encoder = Callable[["Image.Image", Mapping[str, str]], bytes]
"""Return the content of a file for a picture and the texts to store in it."""

_NO_TEXT: Mapping[str, str] = {}


def png_bytes(picture: "Image.Image", text: Mapping[str, str] = _NO_TEXT) -> bytes:
    """Encode a picture as PNG, with each entry of `text` in a text chunk."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        # PNG allows no NUL, and the value may come from an argument that is not valid UTF-8
        info.add_itxt(key, value.replace("\0", " ").encode(errors="replace").decode())
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def webp_bytes(picture: "Image.Image", text: Mapping[str, str] = _NO_TEXT) -> bytes:
    """Encode a picture as lossless WebP, with `text` as JSON in the Exif image description."""
    from PIL import Image
    from PIL.ExifTags import Base

    exif = Image.Exif()
    exif[Base.ImageDescription] = json.dumps(dict(text))
    buffer = io.BytesIO()
    # These settings are as fast as PNG. Pillow's defaults take four times as long and save few bytes.
    picture.save(buffer, "WEBP", lossless=True, quality=20, method=1, exif=exif)
    return buffer.getvalue()


FORMATS: dict[str, Encoder] = {
    "png": png_bytes,
    "webp": webp_bytes,
}
"""The encoder of each format that holds one picture, by the suffix of its files."""


def save_png(picture: "Image.Image", path: Path, text: Mapping[str, str] = _NO_TEXT) -> None:
    """Write a PNG file atomically (see `paths.write_bytes`)."""
    write_bytes(path, png_bytes(picture, text))
