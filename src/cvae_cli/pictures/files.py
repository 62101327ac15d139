"""Pictures as files: PNG and WebP, with a text inside."""

import io
import json
from pathlib import Path

from PIL import Image
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from cvae_cli.paths import write_bytes


def png_bytes(picture: Image.Image, text: dict[str, str] | None = None) -> bytes:
    """The picture as PNG, with `text` in its text chunks."""
    info = PngInfo()
    for key, value in (text or {}).items():
        info.add_itxt(key, value.replace("\0", " ").encode(errors="replace").decode())  # arguments may not be UTF-8
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def webp_bytes(picture: Image.Image, text: dict[str, str] | None = None) -> bytes:
    """The picture as lossless WebP, with `text` as JSON in its Exif image description."""
    exif = Image.Exif()
    exif[Base.ImageDescription] = json.dumps(text or {})
    buffer = io.BytesIO()
    # as fast as PNG; Pillow's defaults take four times as long, for hardly fewer bytes
    picture.save(buffer, "WEBP", lossless=True, quality=20, method=1, exif=exif)
    return buffer.getvalue()


def save_png(picture: Image.Image, path: Path, text: dict[str, str] | None = None) -> None:
    """Write a PNG file, whole or not at all."""
    write_bytes(path, png_bytes(picture, text))
