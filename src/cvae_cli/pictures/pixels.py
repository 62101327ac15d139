"""Convert pictures between bytes, as files and data sets have them, and floats in [0, 1], as models use them."""

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from cvae_cli.errors import UsageError


def to_float(images: UInt8[Tensor, "n h w c"]) -> Float[Tensor, "n c h w"]:
    """Convert bytes in 0..255 to floats in [0, 1]."""
    return images.permute(0, 3, 1, 2).float().div_(255).contiguous()


def to_uint8(images: Float[Tensor, "n c h w"]) -> UInt8[Tensor, "n h w c"]:
    """Convert floats in [0, 1] to bytes in 0..255, rounded to the nearest value."""
    return images.clamp(0, 1).mul(255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


def check_finite(images: Float[Tensor, "n c h w"]) -> None:
    """Raise a UsageError for pictures with values that are not finite numbers; what is made of them would have none."""
    is_finite = images.isfinite().flatten(1).all(1)
    if not is_finite.all():
        first = int((~is_finite).nonzero()[0])
        raise UsageError(
            f"picture {first + 1} of {len(images)} has values that are not finite numbers",
            hint="pictures are floats from 0 to 1",
        )
