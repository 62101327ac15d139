"""Convert pictures between bytes, as files and data sets have them, and floats in [0, 1], as models use them."""

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 `(n, h, w, c)` in 0..255 to float `(n, c, h, w)` in [0, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(255).contiguous()


def to_uint8(images: Tensor) -> Tensor:
    """Convert float `(n, c, h, w)` in [0, 1] to uint8 `(n, h, w, c)` in 0..255, rounded to the nearest value."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
