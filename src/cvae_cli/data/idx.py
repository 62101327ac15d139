"""The IDX format of MNIST and its relatives (http://yann.lecun.com/exdb/mnist, "The IDX file format")."""

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvae_cli.errors import CorruptError

_UBYTE = 8  # the type code of unsigned bytes, the only one that the image sets use


def read_idx(path: Path, dimensions: int) -> UInt8[np.ndarray, "..."]:
    """Read the array in a gzipped IDX file of unsigned bytes.

    Args:
        dimensions: the number of dimensions that the array must have (3 for pictures, 1 for labels).

    Raises:
        CorruptError: the file is not gzip or not IDX, has other dimensions, or its length differs from its header.
    """
    try:
        with gzip.open(path) as file:
            zeros, kind, given = struct.unpack(">HBB", file.read(4))
            if (zeros, kind, given) != (0, _UBYTE, dimensions):
                raise CorruptError(f"{path} is not an IDX file of bytes in {dimensions} dimensions")
            shape = struct.unpack(f">{dimensions}I", file.read(4 * dimensions))
            size = math.prod(shape)
            content = file.read(min(size, 1 << 34) + 1)  # one byte more than expected, to detect a longer file
    except (OSError, EOFError, struct.error, zlib.error) as error:
        if isinstance(error, FileNotFoundError | PermissionError):
            raise
        raise CorruptError(f"{path} is damaged: {str(error).lower()}") from error
    if len(content) != size:
        raise CorruptError(f"{path} is damaged: its header promises {size:,} bytes, it has another number")
    return np.frombuffer(bytearray(content), np.uint8).reshape(shape)  # a bytearray makes the array writable
