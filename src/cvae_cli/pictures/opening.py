"""Open pictures of any format, mode, size and orientation that Pillow reads."""

import warnings
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps
from PIL.ExifTags import Base

from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError

_MAX_PIXELS = 64_000_000  # 8,000 x 8,000


def open_picture(path: Path, *, size: int, channels: int, draft: bool = False) -> tuple[Image.Image, list[str]]:
    """Open a picture, crop it to its central square, and convert it to the given size and channels.

    Args:
        size: pixels a side of the result.
        channels: 1 for grey, 3 for RGB.
        draft: decode a JPEG at 1/2, 1/4 or 1/8 of its size where that still leaves twice `size`. This is several times
            as fast and gives almost the same picture.

    Returns:
        the picture, mode L or RGB, and the conversions, such as `["centre-cropped to 480x480", "made grey"]`.

    Raises:
        MissingError: there is no such file.
        UsageError: the path is a folder, or the picture has more than 64 million pixels.
        CorruptError: the file is not a picture, or is damaged.
    """
    done = []
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as opened:
            if opened.width * opened.height > _MAX_PIXELS:
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
    except Exception as error:  # a damaged file can make Pillow's readers raise anything
        raise CorruptError(f"{path} is not a picture that can be read, or a damaged one") from error

    picture = _to_eight_bits(picture, channels, done)
    side = min(picture.size)
    if picture.width != picture.height:
        done.append(f"centre-cropped to {side}x{side}")
    if side != size:
        done.append(f"resized from {side}x{side}")
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS), done


def _to_eight_bits(picture: Image.Image, channels: int, done: list[str]) -> Image.Image:
    """Convert a picture to mode L or RGB, and append the conversions to `done`."""
    mode = "L" if channels == 1 else "RGB"
    if picture.mode.startswith(("I", "F")):  # 16 or 32 bits a pixel
        picture = _reduce_depth(picture)
        done.append("reduced to 8 bits")
    before = picture.mode
    if before == "LAB":  # which Pillow cannot convert to grey directly
        picture = picture.convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "black" if mode == "L" else "white"), picture)
        done.append("laid on black" if mode == "L" else "laid on white")
    if before not in {mode, mode + "A"}:
        done.append("made grey" if mode == "L" else "made RGB")
    return picture.convert(mode)


def _reduce_depth(picture: Image.Image) -> Image.Image:
    """Convert a grey picture of 16 or 32 bits a pixel to 8 bits: mode L, or LA where one value means transparent."""
    values = np.nan_to_num(np.asarray(picture, np.float32), posinf=0, neginf=0)
    grey = values * (255 / _white_level(values, picture.mode)) + 0.5
    reduced = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    transparent = picture.info.get("transparency")
    if isinstance(transparent, int):
        reduced.putalpha(Image.fromarray(np.where(values == transparent, 0, 255).astype(np.uint8)))
    return reduced


def _white_level(values: NDArray[np.float32], mode: str) -> float:
    """Return the value of white. A file of 32 bits does not state it, so it is inferred from the largest value."""
    if mode.startswith("I;16"):
        return 65535
    high = float(values.max())
    return next((white for white in (1, 255, 65535) if high <= white), high)
