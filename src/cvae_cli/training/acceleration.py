"""Compute an objective's losses in several processes, or with code that `torch.compile` has generated."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from cvae_cli.errors import UsageError
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
    """Return the same losses, compiled on the first call; the random numbers stay the same.

    Raises:
        UsageError: on the first call, if this machine cannot compile them.
    """
    from torch._dynamo.exc import TorchDynamoException  # imported late: it takes a second

    options: dict[str, Any] = {"fallback_random": True, "triton.cudagraphs": device.type == "cuda"}
    compiled = torch.compile(losses, dynamic=False, options=options)

    def compute(images: Tensor, condition: Tensor) -> Tensor:
        try:
            return compiled(images, condition)
        except TorchDynamoException as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
            raise UsageError(
                f"torch.compile failed: {reason[:200]}", hint="train without it:  --set training.compile=false"
            ) from error

    return compute
