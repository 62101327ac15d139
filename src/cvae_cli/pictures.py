"""Pictures as files: grids, PNG and WebP with a text, previews for a terminal, and opening whatever a user has."""

import io
import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base
from PIL.PngImagePlugin import PngInfo

from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError
from cvae_cli.paths import write_bytes

if TYPE_CHECKING:
    from torch import Tensor  # what only opens pictures (`data/decode.py`) does without torch

_MARGIN = 2  # pixels between the pictures of a grid
_MOST_PIXELS = 64_000_000  # of a picture that is opened: 8,000 x 8,000


def to_pil(images: "Tensor") -> list[Image.Image]:
    """Float `(n, c, h, w)` in [0, 1] as Pillow images, mode L or RGB."""
    from cvae_cli.pixels import to_uint8

    return [
        Image.fromarray(array.squeeze(-1) if array.shape[-1] == 1 else array)
        for array in to_uint8(images).cpu().numpy()
    ]


def grid(pictures: Sequence[Image.Image], *, columns: int | None = None) -> Image.Image:
    """Pictures of one size side by side, row by row; a single one stays itself.

    Args:
        columns: as many a row; about as many columns as rows when absent.
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


def open_picture(path: Path, *, size: int, channels: int, draft: bool = False) -> tuple[Image.Image, list[str]]:
    """Any picture that Pillow opens, brought to a model's size and channels.

    Args:
        draft: let a JPEG be decoded at a half, a quarter or an eighth where that leaves twice `size`: several times
            as fast, and almost the same picture.

    Returns:
        the picture, mode L or RGB, and what was done to it, as `["centre-cropped to 480x480", "made grey"]`.

    Raises:
        MissingError: no such file.
        UsageError: more pixels than are sensible, or a folder.
        CorruptError: not a picture, or a damaged one.
    """
    done = []
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as opened:
            if opened.width * opened.height > _MOST_PIXELS:
                raise UsageError(
                    f"{path} has {opened.width:,} x {opened.height:,} pixels, more than can be opened safely",
                    hint="make it smaller first",
                )
            if getattr(opened, "n_frames", 1) > 1:
                done.append(f"first of {opened.n_frames} frames")  # type: ignore[attr-defined]
            if opened.getexif().get(Base.Orientation, 1) != 1:
                done.append("turned upright")
            if draft:
                opened.draft(None, (2 * size, 2 * size))
            picture = ImageOps.exif_transpose(opened)
            picture.load()
    except (CvaeError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"no file {path}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{path} is a folder, not a picture") from error
    except PermissionError as error:
        raise UsageError(f"cannot read {path}: permission denied") from error
    except Image.DecompressionBombError as error:
        raise UsageError(f"{path} has more pixels than can be opened safely", hint="make it smaller first") from error
    except Exception as error:  # Pillow's readers raise whatever a damaged file leads them to
        raise CorruptError(f"{path} is not a picture that can be read, or a damaged one") from error

    picture = _to_eight_bits(picture, channels, done)
    side = min(picture.size)
    if picture.width != picture.height:
        done.append(f"centre-cropped to {side}x{side}")
    if side != size:
        done.append(f"resized from {side}x{side}")
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS), done


def _to_eight_bits(picture: Image.Image, channels: int, done: list[str]) -> Image.Image:
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel
        picture = _reduced(picture)
        done.append("reduced to 8 bits")
    before = picture.mode
    if before == "LAB":  # Pillow has no way from it to grey
        picture = picture.convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if mode == "L" else "white"), picture)
        done.append("laid on black" if mode == "L" else "laid on white")
    if before not in {mode, mode + "A"}:
        done.append("made grey" if mode == "L" else "made RGB")
    return picture.convert(mode)


def _reduced(picture: Image.Image) -> Image.Image:
    """A grey picture of 16 or 32 bits a pixel in 8, mode L, or LA where a grey value stands for transparency."""
    values = np.nan_to_num(np.asarray(picture, np.float32), posinf=0, neginf=0)
    grey = values * (255 / _white(values, picture.mode)) + 0.5
    reduced = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        reduced.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return reduced


def _white(values: NDArray[np.float32], mode: str) -> float:
    """The value that stands for white: a file of 32 bits does not say, and what it uses must tell."""
    if mode.startswith("I;16"):
        return 65535
    high = float(values.max())
    return next((white for white in (1, 255, 65535) if high <= white), high)


def preview(picture: Image.Image, *, width: int) -> str:
    """The picture in half-blocks with 24-bit colours, at most `width` characters wide, for a terminal."""
    if picture.width > width:
        picture = picture.resize((width, max(1, picture.height * width // picture.width)))
    pixels = picture.convert("RGB")
    lines = []
    for y in range(0, pixels.height, 2):
        line = []
        for x in range(pixels.width):
            upper = pixels.getpixel((x, y))
            lower = pixels.getpixel((x, y + 1)) if y + 1 < pixels.height else (0, 0, 0)
            line.append("\x1b[38;2;{};{};{};48;2;{};{};{}m\u2580".format(*upper, *lower))  # type: ignore[misc]
        lines.append("".join(line) + "\x1b[0m")
    return "\n".join(lines)
