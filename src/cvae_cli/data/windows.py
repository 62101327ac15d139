"""Random windows of larger pictures: a training shows half of the pictures whole, and half of them in part."""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64, UInt8
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.pictures.pixels import to_float
from cvae_cli.runtime.device import send

_SIDES = (5, 6, 7)  # of a window, in eighths of the picture's side
_WHOLE_RATE = 0.5  # of the pictures, which are shown whole

Numbers = Int64[np.ndarray, " n"]


@dataclass(frozen=True)
class Windows:
    """A square window in each of `n` pictures, or the whole picture.

    Attributes:
        side: of the window in pixels; 0 for the whole picture.
        top, left: where the window begins.
    """

    side: Numbers
    top: Numbers
    left: Numbers

    def take(self, rows: Numbers) -> "Windows":
        """Return the windows at `rows`."""
        return Windows(self.side[rows], self.top[rows], self.left[rows])


def draw_windows(n: int, size: int, random: np.random.Generator, *, whole_rate: float = _WHOLE_RATE) -> Windows:
    """Draw a window in each of `n` pictures of `size` pixels a side.

    Args:
        whole_rate: the part of the pictures of which the whole is taken.
    """
    side = random.choice(_SIDES, n) * size // 8
    top, left = (np.floor(random.random(n) * (size - side + 1)).astype(np.int64) for _ in range(2))
    is_window = random.random(n) >= whole_rate
    return Windows(side * is_window, top * is_window, left * is_window)


def describe(windows: Windows, size: int, mirrored: Bool[np.ndarray, " n"]) -> Float[Tensor, "n 3"]:
    """Return what a prior is told of windows in pictures of `size` pixels a side.

    These are how much is cut off, from 1 to 3 eighths of a side, and where the centre is, from -2 to 2: down, and to
    the right as it is seen. All are 0 for a whole picture.
    """
    is_window = windows.side > 0
    down, right = (2 * (2 * (start + windows.side / 2) / size - 1) for start in (windows.top, windows.left))
    told = np.stack([8 * (1 - windows.side / size), down, np.where(mirrored, -right, right)], axis=1)
    return torch.from_numpy((told * is_window[:, None]).astype(np.float32))


def cut_windows(
    pixels: UInt8[Tensor, "n s s c"], windows: Windows, side: int, size: int
) -> Float[Tensor, "n c size size"]:
    """Cut windows of one `side` from pictures, and resize them to `size` pixels a side."""
    steps = torch.arange(side, device=pixels.device)
    rows, columns = (
        send(torch.from_numpy(start), pixels.device)[:, None] + steps for start in (windows.top, windows.left)
    )
    numbers = torch.arange(len(pixels), device=pixels.device)[:, None, None]
    cut = to_float(pixels[numbers, rows[:, :, None], columns[:, None, :]])
    return F.interpolate(cut, size=(size, size), mode="bicubic", antialias=True, align_corners=False).clamp(0, 1)
