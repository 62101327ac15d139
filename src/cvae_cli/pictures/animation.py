"""Animations: pictures after one another, there and back, without end."""

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from PIL import Image

ANIMATED_ENDINGS = (".gif", ".webp")

_NO_TEXT: Mapping[str, Any] = {}
_FRAME = 80  # milliseconds that a picture is shown
_PAUSE = 600  # milliseconds that the first and the last one are shown


def is_animated(path: Path) -> bool:
    """Return whether the ending of a file's name says a format that holds animations."""
    return path.suffix.lower() in ANIMATED_ENDINGS


def encode_animation(frames: "Sequence[Image.Image]", path: Path, text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Return the content of a GIF or a lossless WebP that shows pictures of one size from first to last and back.

    Args:
        text: texts and numbers to store in the file, as JSON.
    """
    from PIL import Image
    from PIL.ExifTags import Base

    shown = [*frames, *frames[-2:0:-1]]
    durations = [_PAUSE if number in {0, len(frames) - 1} else _FRAME for number in range(len(shown))]
    facts = json.dumps(dict(text))
    buffer = io.BytesIO()
    options: dict[str, Any] = {"save_all": True, "append_images": shown[1:], "duration": durations, "loop": 0}
    if path.suffix.lower() == ".gif":
        shown[0].save(buffer, "GIF", comment=facts, **options)
    else:
        exif = Image.Exif()
        exif[Base.ImageDescription] = facts
        shown[0].save(buffer, "WEBP", lossless=True, quality=20, method=1, exif=exif, **options)
    return buffer.getvalue()
