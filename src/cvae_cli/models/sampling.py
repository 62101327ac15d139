"""How samples are drawn: the bounds of the settings, and the noise that pictures start from."""

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.config.condition import ConditionSettings, LabelCondition
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.runtime import randomness

SMALL = 32
"""Pixels a side of the pictures that are so cheap that more of them are computed at a time."""

_CHUNK, _SMALL_CHUNK = 8, 16
_GPU_CHUNK = 128  # starting kernels takes a large GPU longer than computing them

MAX_STEPS = 1000
"""Pictures on the way from one to another: more than a minute of an animation."""


def check_sampling(*, seed: int = 0, temperature: float = 1.0, guidance: float | None = None, n: int = 1) -> None:
    """Raise a UsageError if samples cannot be drawn so; the bounds are those of the commands' options."""
    if not 0 <= seed < 2**32:
        raise UsageError(f"seed must be from 0 to {2**32 - 1}, not {seed}")
    if not 0 <= temperature <= 100:
        raise UsageError(f"temperature must be from 0 to 100, not {temperature}")
    if guidance is not None and not 0 <= guidance <= 100:
        raise UsageError(f"guidance must be from 0 to 100, not {guidance}")
    if n < 1:
        raise UsageError(f"n must be at least 1, not {n}")


def check_steps(steps: int) -> None:
    """Raise a UsageError if there cannot be so many pictures on the way from one to another."""
    if not 2 <= steps <= MAX_STEPS:
        raise UsageError(f"steps must be from 2 to {MAX_STEPS}, not {steps}")


def chunk_size(device: torch.device, side: int) -> int:
    """Return how many pictures of so many pixels a side are sampled at a time on a device.

    It is always the same number, and the last chunk is padded: with another batch size the arithmetic rounds
    differently, and the same seed would give another picture. On a CPU each chunk is computed by one core. Larger ones
    are a little faster there, but a lone picture costs as much as a chunk, so only small pictures have them.
    """
    if device.type == "cuda":
        return _GPU_CHUNK
    return _SMALL_CHUNK if side <= SMALL else _CHUNK


def pad(rows: Tensor, size: int) -> Tensor:
    """Repeat the last row up to the size of a chunk."""
    return torch.cat([rows, rows[-1:].expand(size - len(rows), *rows.shape[1:])])


def sample_noise(
    condition: Condition,
    settings: ConditionSettings,
    shape: tuple[int, ...],
    *,
    seed: int,
    prompts: Sequence[str] | None = None,
    indices: Sequence[int] | None = None,
    same_noise: bool = False,
) -> Float[Tensor, "b ..."]:
    """Return the noise of pictures, standard normal, float32 on the CPU; see `CVAE.sample`.

    Args:
        condition: one row for each picture.
        settings: the condition of the model.
        shape: of the noise of one picture.
    """
    names = stand_ins(condition, settings) if prompts is None else prompts
    indices = numbers_of(names) if indices is None else indices
    if not len(names) == len(indices) == len(condition):
        raise ValueError(f"{len(names)} prompts and {len(indices)} indices for {len(condition)} conditions")
    return randomness.noise(seed, indices, shape, names=None if same_noise else names)


def numbers_of(names: Sequence[str]) -> list[int]:
    """Number equal names: 0 for the first of them, 1 for the second, and so on."""
    seen: Counter[str] = Counter()
    numbers = []
    for name in names:
        numbers.append(seen[name])
        seen[name] += 1
    return numbers


def stand_ins(condition: Condition, settings: ConditionSettings) -> list[str]:
    """Return what stands for the prompts of conditions: the name of a class, or the signs of a vector's numbers.

    Signs, because the last bits of a vector depend on the device and on the batch that it was computed in.
    """
    if isinstance(settings, LabelCondition):
        return [settings.classes[index].name for index in condition.tolist()]
    return [bytes(row).hex() for row in np.packbits((condition > 0).cpu().numpy(), axis=1)]
