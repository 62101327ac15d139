"""Pictures as tensors: bytes outside, numbers in [0, 1] inside. The one place where either becomes the other."""

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 `(n, h, w, c)` in 0..255 to float `(n, c, h, w)` in [0, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(255).contiguous()


def to_uint8(images: Tensor) -> Tensor:
    """float `(n, c, h, w)` in [0, 1] to uint8 `(n, h, w, c)` in 0..255, rounding."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()
