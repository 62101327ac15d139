"""Compute an objective's losses in several processes, or with code that `torch.compile` has generated."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from cvae_cli.errors import CvaeError, UsageError
from cvae_cli.training.objectives.objective import Objective

LossFunction = Callable[[Tensor, Tensor], Tensor]
"""From images and their conditions to the losses of each image, `(b, losses)`."""


class _LossModule(nn.Module):
    """An objective's losses as a module's forward pass: DistributedDataParallel wraps modules only."""

    def __init__(self, objective: Objective) -> None:
        super().__init__()
        self.model = objective.model
        self.forward = objective.losses


def distribute(objective: Objective, device: torch.device) -> LossFunction:
    """Return the objective's losses with gradients that are averaged over all processes in the backward pass."""
    device_ids = [device] if device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(_LossModule(objective), device_ids=device_ids)


def compile_losses(losses: LossFunction, device: torch.device) -> LossFunction:
    """Return the same losses, compiled on the first call; the random numbers stay the same."""
    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # it says on every CPU that there is no GPU
    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": device.type == "cuda"}
    return torch.compile(losses, dynamic=False, options=options)


@contextlib.contextmanager
def compile_errors() -> Iterator[None]:
    """Explain what goes wrong in the block as a failure of `torch.compile`: it is then that it compiles.

    Raises:
        UsageError: this machine cannot compile the losses, or what it has compiled before is damaged.
    """
    try:
        yield
    except (CvaeError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        from torch._inductor.runtime.cache_dir_utils import cache_dir

        lines = [line for line in f"{type(error).__name__}: {error}".splitlines() if line.strip()]
        reason = next((line for line in lines if not line.endswith("raised:")), lines[0])
        hint = "train without it:  --set training.compile=false"
        if "Compiler" not in reason:  # there is one, so it may be what it has compiled before
            hint += f"\nor remove what was compiled before, which may be damaged:  {cache_dir()}"
        reason = reason.removeprefix("InductorError: ")[:200]  # of which the text says more than the type
        raise UsageError(f"torch.compile failed: {reason}", hint=hint) from error
