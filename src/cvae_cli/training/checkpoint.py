"""The training state on disk: tensors in safetensors, all else as JSON in its header. One file, replaced whole."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from torch import Tensor

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.tensors import copy_tensors, named_tensors, write_tensors
from cvae_cli.training.ema import EMA


@dataclass
class Position:
    """How far a run has come. Everything random in training follows from the seed and these numbers."""

    epoch: int = 0
    """Epochs completed."""
    batch: int = 0
    """Batches taken of the epoch in progress."""
    step: int = 0
    """Optimizer steps taken."""
    skipped: int = 0
    """Steps not taken because of their gradient."""
    seconds: float = 0.0
    """Spent training so far, validation and saving included."""
    best: float | None = None
    """The lowest -ELBO on the validation pictures, in nats."""
    sums: list[float] = field(default_factory=list)
    """Each loss summed over the pictures of the epoch in progress; nothing before its first step."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """What `metrics.jsonl` holds."""


def save_state(
    path: Path,
    position: Position,
    model: CVAE,
    optimizer: torch.optim.Optimizer,
    ema: EMA,
    others: Mapping[str, Tensor],
) -> None:
    """Write everything that going on needs; `others` is what an objective needs besides."""
    tensors = {f"model.{name}": tensor for name, tensor in named_tensors(model).items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in ema.average.items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
    tensors |= {f"objective.{name}": tensor for name, tensor in others.items()}
    write_tensors(path, tensors, {"position": json.dumps(asdict(position))})


def load_state(
    path: Path,
    model: CVAE,
    optimizer: torch.optim.Optimizer,
    ema: EMA,
    load_others: Callable[[Mapping[str, Tensor]], None],
) -> Position:
    """Restore what `save_state` wrote, and return how far the run had come.

    Raises:
        MissingError: there is no state.
        CorruptError: it is damaged, or of a model with other settings.
    """
    if not path.is_file():
        raise MissingError(f"{path} is gone, and with it the way to go on", hint="start over with --force")
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}, "objective": {}}
    try:
        with safe_open(path, "pt") as file:
            position = TypeAdapter(Position).validate_json((file.metadata() or {})["position"])
            for name in file.keys():  # noqa: SIM118
                part, rest = name.split(".", 1)
                parts[part][rest] = file.get_tensor(name)
        slots = optimizer_slots(parts["optimizer"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        load_others(parts["objective"])
    except (SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CorruptError(
            f"{path} is damaged ({str(error).splitlines()[0]})", hint="start the training over with --force"
        ) from error
    if position.step > position.skipped and len(slots) != sum(len(group["params"]) for group in optimizer.param_groups):
        raise CorruptError(f"{path} does not fit its settings: the optimizer has another number of parameters")
    copy_tensors(parts["model"], named_tensors(model), source=path)
    copy_tensors(parts["ema"], ema.average, source=path)
    return position


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The state of an optimizer, flat: `INDEX.SLOT` of each parameter."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{slot}": tensor for index, slots in state.items() for slot, tensor in slots.items()}


def optimizer_slots(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """What `optimizer_tensors` made flat, as the optimizer has it."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    return slots
