"""HEIC pictures, which Pillow opens with the package pillow-heif."""

import io
from pathlib import Path

from PIL import Image

from cvae_cli.errors import UsageError

_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}
"""What a HEIC file says that it is."""


def is_heif(file: Path | io.BytesIO) -> bool:
    """Return whether a file's content is that of a HEIC picture; telephones also name them .jpg."""
    start = file.getvalue()[:12] if isinstance(file, io.BytesIO) else _start(file)
    return start[4:8] == b"ftyp" and start[8:] in _HEIF_BRANDS


def _start(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(12)


def open_heif(file: Path | io.BytesIO, name: str) -> Image.Image:
    """Open a HEIC picture.

    Raises:
        UsageError: pillow-heif is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError as error:
        raise UsageError(f"{name} is a HEIC picture", hint='for these:  pip install "cvae-cli[heif]"') from error
    register_heif_opener()
    return Image.open(file)
