"""Which files are pictures, by the endings of their names. Pillow is not imported, which would take longer than a look.

The endings are those that Pillow knows, without the kinds that it names and cannot decode by itself: PostScript and
Windows' drawings need another program, and of BUFR, GRIB, HDF5 and MPEG it reads no pixels.
"""

from functools import cache
from importlib.util import find_spec

_ENDINGS = """
apng blp bmp bw cur dcx dds dib fit fits flc fli ftc ftu gbr gif icb icns ico iim im j2c j2k jfif jp2 jpc jpe jpeg jpf
jpg jpx mpo msp pbm pcd pcx pfm pgm png pnm ppm psd pxr qoi ras rgb rgba sgi tga tif tiff vda vst webp xbm xpm
"""
PILLOW = frozenset(f".{ending}" for ending in _ENDINGS.split())
"""The endings that Pillow reads wherever it is installed."""

AVIF = frozenset({".avif", ".avifs"})
"""The endings that Pillow reads from version 11.3 on."""

HEIF = frozenset({".heic", ".heics", ".heif", ".heifs", ".hif"})
"""The endings that the package pillow-heif reads, an extra of this one."""

COMMON = (".jpg", ".png", ".webp", ".gif", ".bmp", ".tif", ".ppm", ".heic")
"""The endings that a message names."""


def is_picture(file: str) -> bool:
    """Return whether a file's name has the ending of a picture that can be read here."""
    _, dot, ending = file.rpartition(".")
    return dot + ending.lower() in _readable()


def how_to_read(suffix: str) -> str:
    """Return what makes files with this ending readable, in a few words; "" when nothing here does."""
    if suffix in HEIF and suffix not in _readable():
        return 'for these:  pip install "cvae-cli[heif]"'
    if suffix in AVIF and suffix not in _readable():
        return 'for these:  pip install "pillow>=11.3"'
    return ""


@cache
def _readable() -> frozenset[str]:
    found = PILLOW
    if find_spec("PIL._avif"):
        found |= AVIF
    if find_spec("pillow_heif"):
        found |= HEIF
    return found
