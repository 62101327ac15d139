"""Open pictures of any format, mode, size and orientation that Pillow reads."""

import io
import os
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.ExifTags import Base

from cvae_cli.errors import CorruptError, CvaeError, MissingError, UsageError, byte_size
from cvae_cli.paths import check_regular
from cvae_cli.pictures.heif import is_heif, open_heif

_MAX_MEMORY = 1 << 30  # bytes that one picture may take while it is opened: 200 megapixels in colour
_MAX_OF_SMALL_FILE = 1 << 29  # the same for a file of hardly any bytes, which may claim any number of pixels,
_MAX_PER_BYTE = 64  # and more by this for each byte of the file

# Bytes that a pixel takes in Pillow, with the copies that its conversion makes
_BYTES_PER_PIXEL = {"1": 5, "L": 5, "P": 5, "RGB": 5}
_BYTES_WITH_COPIES = 12
_BYTES_OF_DEEP_PIXEL = 24
_BYTES_OF_COEFFICIENTS = 6  # that a progressive JPEG keeps for a pixel until it is complete

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns a picture upright, by the orientation that its Exif data states."""

_one_at_a_time = threading.Lock()


def open_picture(path: Path, *, size: int, channels: int, draft: bool = False) -> tuple[Image.Image, list[str]]:
    """Open a picture, crop it to its central square, and convert it to the given size and channels.

    Any number of pixels is welcome as long as the memory that they need is bounded. A JPEG may have several hundred
    million: it is decoded at a fraction of its size.

    Args:
        size: pixels a side of the result.
        channels: 1 for grey, 3 for RGB.
        draft: decode a JPEG at 1/2, 1/4 or 1/8 of its size where that still leaves twice `size`. This is several times
            as fast and gives almost the same picture.

    Returns:
        the picture, mode L or RGB, and the conversions, such as `["centre-cropped to 480x480", "made grey"]`.

    Raises:
        MissingError: there is no such file.
        UsageError: the path is a folder, a pipe or a device, or the picture would need more than 1 GiB of memory.
        CorruptError: the file is not a picture, or is damaged.
    """
    with _clear_errors(path):
        check_regular(path)
        return _read(path, str(path), os.path.getsize(path), channels=channels, size=size, draft=draft)


def open_whole(content: bytes, name: str, *, channels: int) -> tuple[Image.Image, list[str]]:
    """Open a picture from the bytes of its file, in its own size; see `open_picture`.

    Args:
        name: of the file, for messages.
    """
    with _clear_errors(name):
        return _read(io.BytesIO(content), name, len(content), channels=channels)


def open_content(content: bytes, name: str, *, size: int, channels: int) -> Image.Image:
    """Open a picture from the bytes of its file as `open_picture` does with `draft`.

    Args:
        name: of the file, for messages.
    """
    with _clear_errors(name):
        return _read(io.BytesIO(content), name, len(content), channels=channels, size=size, draft=True)[0]


def read_text(path: Path, name: str) -> str | None:
    """Return a text that the file of a picture holds beside the pixels; None if it holds none of this name.

    Raises:
        CvaeError: the file is no picture that can be read; see `open_picture`.
    """
    with _clear_errors(path):
        check_regular(path)
        with warnings.catch_warnings(action="ignore"), _open(path, str(path)) as opened:
            text = opened.info.get(name)
    return text if isinstance(text, str) else None


@contextmanager
def _clear_errors(name: Path | str) -> Iterator[None]:
    """Turn the errors of reading a picture into CvaeErrors that name it."""
    try:
        yield
    except (CvaeError, MemoryError):
        raise
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError(f"no file {name}") from error
    except IsADirectoryError as error:
        raise UsageError(f"{name} is a folder, not a picture") from error
    except PermissionError as error:
        raise UsageError(f"cannot read {name}: permission denied") from error
    except Exception as error:  # a damaged file can make Pillow's readers raise anything
        raise CorruptError(f"{name} is not a picture that can be read, or a damaged one") from error


def _read(
    file: Path | io.BytesIO, name: str, length: int, *, channels: int, size: int | None = None, draft: bool = False
) -> tuple[Image.Image, list[str]]:
    """Open a file of `length` bytes; see `open_picture`. Without `size` the picture keeps its own."""
    done: list[str] = []
    needed = 0  # bytes of memory
    try:
        with warnings.catch_warnings(action="ignore"), _open(file, name) as opened:
            if opened.format == "EPS":  # which Pillow would give to Ghostscript
                raise UsageError(f"{name} is PostScript, not a picture of pixels")
            if getattr(opened, "n_frames", 1) > 1:
                done.append(f"first of {opened.n_frames} frames")  # type: ignore[attr-defined]
            width, height = opened.size
            if size and (draft or _needed_memory(opened, width * height) > _allowed_memory(length)):
                opened.draft(None, (2 * size, 2 * size))
            if (needed := _needed_memory(opened, width * height)) > _allowed_memory(length):
                raise UsageError(
                    f"{name} has {width:,} x {height:,} pixels and would take {byte_size(needed)} of memory, "
                    "more than one picture may",
                    hint="make it smaller first",
                )
            if opened.getexif().get(Base.Orientation, 1) != 1:  # which decodes a PNG
                done.append("turned upright")
            opened.load()
            upright = _UPRIGHT.get(opened.getexif().get(Base.Orientation, 1))  # reading a TIFF has turned it already
            picture = _to_eight_bits(opened, channels, done)
            if size:
                picture = _fit(picture, size, done)
            elif picture is opened:  # which is about to be closed
                picture = picture.copy()
            return picture if upright is None else picture.transpose(upright), done
    except MemoryError as error:
        if needed > _MAX_OF_SMALL_FILE:
            raise
        raise CorruptError(f"{name} is damaged: it promises more data than memory can hold") from error


def _open(file: Path | io.BytesIO, name: str) -> Image.Image:
    """Open a picture of any kind and any number of pixels; its pixels are not decoded yet.

    Raises:
        UsageError: the picture is of a kind that needs pillow-heif, which is not installed.
    """
    with _one_at_a_time:  # Pillow's own limit, on the number of pixels, is a variable of its module
        limit, Image.MAX_IMAGE_PIXELS = Image.MAX_IMAGE_PIXELS, None
        try:
            return Image.open(file)
        except UnidentifiedImageError:
            if not is_heif(file):
                raise
            return open_heif(file, name)
        finally:
            Image.MAX_IMAGE_PIXELS = limit


def _needed_memory(opened: Image.Image, pixels: int) -> int:
    """Return about how many bytes it takes to decode and convert a picture.

    Args:
        pixels: the number in the file; a draft has fewer.
    """
    if opened.mode.startswith(("I", "F")):
        bytes_per_pixel = _BYTES_OF_DEEP_PIXEL
    elif "transparency" in opened.info:
        bytes_per_pixel = _BYTES_WITH_COPIES
    else:
        bytes_per_pixel = _BYTES_PER_PIXEL.get(opened.mode, _BYTES_WITH_COPIES)
    coefficients = _BYTES_OF_COEFFICIENTS * pixels if opened.info.get("progressive") else 0
    return opened.width * opened.height * bytes_per_pixel + coefficients


def _allowed_memory(length: int) -> int:
    """Return how many bytes of memory a picture may take. A tiny file gets less: no camera has made it.

    Args:
        length: of the file, in bytes.
    """
    return min(_MAX_MEMORY, _MAX_OF_SMALL_FILE + _MAX_PER_BYTE * length)


def _fit(picture: Image.Image, size: int, done: list[str]) -> Image.Image:
    """Crop a picture to its central square and resize it, and append what was done to `done`."""
    side = min(picture.size)
    if picture.width != picture.height:
        done.append(f"centre-cropped to {side}x{side}")
    if side != size:
        done.append(f"resized from {side}x{side}")
    return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)


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
    return picture if picture.mode == mode else picture.convert(mode)


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
