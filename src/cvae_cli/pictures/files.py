"""Encode pictures as files, with a text inside.

`FORMATS` has the formats of folders of pictures, which keep every pixel as it is; `ENDINGS` has what a user may name a
single picture. To add a format, write a function of the type `Encoder` and add it to these tables. The functions import
Pillow themselves, so that the help of a command can list the formats without loading it.
"""

import io
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cvae_cli.errors import UsageError, did_you_mean
from cvae_cli.paths import write_bytes

if TYPE_CHECKING:
    from PIL import Image

Encoder = Callable[["Image.Image", Mapping[str, Any]], bytes]
"""Return the content of a file for a picture and the texts and numbers to store in it."""

_NO_TEXT: Mapping[str, Any] = {}
_MAX_JPEG_TEXT = 60_000  # bytes; all Exif data of a JPEG must fit into 64 KiB


def png_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as PNG, with each entry of `text` in a text chunk."""
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    for key, value in text.items():
        # PNG allows no NUL, and the value may come from an argument that is not valid UTF-8
        info.add_itxt(key, str(value).replace("\0", " ").encode(errors="replace").decode())
    return _encode(picture, "PNG", pnginfo=info)


def webp_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as lossless WebP, with `text` as JSON in the Exif image description."""
    # These settings are as fast as PNG. Pillow's defaults take four times as long and save few bytes.
    return _encode(picture, "WEBP", lossless=True, quality=20, method=1, exif=_exif(json.dumps(dict(text))))


def jpeg_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as JPEG of high quality, with `text` as JSON in the Exif image description."""
    exif = _exif(_json_within(text, _MAX_JPEG_TEXT))
    return _encode(picture, "JPEG", quality=95, subsampling=0, exif=exif)


def avif_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as AVIF of high quality, with `text` as JSON in the Exif image description."""
    return _encode(picture, "AVIF", quality=90, exif=_exif(json.dumps(dict(text))))


def gif_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as GIF, which has at most 256 colours, with `text` as JSON in the comment."""
    return _encode(picture, "GIF", comment=json.dumps(dict(text)))


def tiff_bytes(picture: "Image.Image", text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Encode a picture as TIFF without loss, with `text` as JSON in the image description."""
    from PIL.TiffImagePlugin import IMAGEDESCRIPTION

    return _encode(picture, "TIFF", compression="tiff_deflate", tiffinfo={IMAGEDESCRIPTION: json.dumps(dict(text))})


FORMATS: dict[str, Encoder] = {
    "png": png_bytes,
    "webp": webp_bytes,
}
"""The encoder of each format of a folder of pictures, by the suffix of its files. None loses anything of a picture."""

ENDINGS: dict[str, Encoder] = {
    ".png": png_bytes,
    ".webp": webp_bytes,
    ".jpg": jpeg_bytes,
    ".jpeg": jpeg_bytes,
    ".avif": avif_bytes,
    ".gif": gif_bytes,
    ".tif": tiff_bytes,
    ".tiff": tiff_bytes,
}
"""The encoder for each ending that the name of a picture may have."""

_MAX_SIDE: dict[Encoder, int] = {webp_bytes: 16_383, jpeg_bytes: 65_500, avif_bytes: 32_768, gif_bytes: 65_535}


def check_ending(path: Path, *, others: Sequence[str] = ()) -> None:
    """Raise a UsageError unless the ending of a file's name says a format in which a picture can be written.

    Args:
        others: more endings that are welcome.
    """
    ending = path.suffix.lower()
    if ending in others:
        return
    if ending not in ENDINGS:
        known = ", ".join([*ENDINGS, *others])
        if not ending:
            raise UsageError(
                f"{path} has no ending that says its format",
                hint=f"give it an ending, as {path}.png, or draw into a folder:  {path}/",
            )
        raise UsageError(
            f'no picture format "{ending}".{did_you_mean(ending, [*ENDINGS, *others])}', hint=f"endings: {known}"
        )
    if ENDINGS[ending] is avif_bytes:
        from PIL import features

        if not features.check("avif"):
            raise UsageError("this Pillow cannot write AVIF", hint="pip install -U pillow, or choose another ending")


def encode_picture(picture: "Image.Image", path: Path, text: Mapping[str, Any] = _NO_TEXT) -> bytes:
    """Return the content of a picture file in the format that the ending of its name says.

    Raises:
        UsageError: no such format, or the picture is too large for it.
    """
    check_ending(path)
    encode = ENDINGS[path.suffix.lower()]
    limit = _MAX_SIDE.get(encode)
    if limit and max(picture.size) > limit:
        raise UsageError(
            f"{path.suffix} holds at most {limit:,} pixels a side, and the picture has "
            f"{picture.width:,} x {picture.height:,}",
            hint="write .png, or fewer pictures",
        )
    return encode(picture, text)


def save_picture(picture: "Image.Image", path: Path, text: Mapping[str, Any] = _NO_TEXT) -> None:
    """Write a picture file atomically (see `encode_picture` and `paths.write_bytes`)."""
    write_bytes(path, encode_picture(picture, path, text))


def _encode(picture: "Image.Image", format: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


def _exif(description: str) -> "Image.Exif":
    from PIL import Image
    from PIL.ExifTags import Base

    exif = Image.Exif()
    exif[Base.ImageDescription] = description
    return exif


def _json_within(text: Mapping[str, Any], limit: int) -> str:
    """Return `text` as JSON of at most `limit` bytes; its longest value is cut where it must be."""
    values = dict(text)
    while len(content := json.dumps(values)) > limit:
        longest = max(values, key=lambda key: len(str(values[key])))
        values[longest] = str(values[longest])[: len(str(values[longest])) // 2] + "…"
    return content
