"""The checkpoint of a training: one safetensors file, with everything that is not a tensor as JSON in its header."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter
from torch import Tensor

from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.models.bound import Bound
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.tensors import copy_tensors, named_tensors
from cvae_cli.training.ema import EMA
from cvae_cli.training.state_file import older_state, read_state, write_state

_START_OVER = "start the training over with --force"


@dataclass
class TrainerState:
    """How far a training has come. The seed and these numbers determine everything random that follows."""

    epoch: int = 0
    """Epochs completed."""
    batch: int = 0
    """Batches completed in the current epoch."""
    step: int = 0
    """Optimizer steps taken or skipped."""
    skipped: int = 0
    """Steps skipped because their gradient was too large."""
    seconds: float = 0.0
    """Time spent training, with validation and saving."""
    best: float | None = None
    """The lowest -ELBO of the validation pictures so far, in nats a picture."""
    sums: list[float] = field(default_factory=list)
    """Each loss summed over the pictures of the current epoch; empty before the first step."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The metrics of each completed epoch: the lines of `metrics.jsonl`."""

    def finish_epoch(self, losses: dict[str, float], validation: Bound) -> bool:
        """Move to the next epoch and add the metrics of this one to the history.

        Args:
            losses: means over the epoch's training pictures, by name.
            validation: the bound of each validation picture.

        Returns:
            Whether this is the best epoch so far.
        """
        rate, distortion = validation.rate.mean().item(), validation.distortion.mean().item()
        negative_elbo = rate + distortion
        is_best = self.best is None or negative_elbo < self.best
        if is_best:
            self.best = negative_elbo
        self.epoch += 1
        self.batch = 0
        self.sums = []
        self.history.append(
            {
                "epoch": self.epoch,
                "step": self.step,
                "train": losses,
                "skipped": self.skipped,
                "valid": {"negative_elbo": negative_elbo, "rate": rate, "distortion": distortion},
                "seconds": round(self.seconds, 2),
            }
        )
        return is_best

    @property
    def last_epoch_seconds(self) -> float:
        """The time that the last completed epoch took."""
        seconds = [0.0, *(float(metrics["seconds"]) for metrics in self.history)]
        return seconds[-1] - seconds[-2]


def save_checkpoint(
    path: Path,
    state: TrainerState,
    model: CVAE,
    optimizer: torch.optim.Optimizer,
    ema: EMA,
    objective: Mapping[str, Tensor],
) -> None:
    """Write everything that a resumed training needs.

    Args:
        objective: the state of the objective.
    """
    tensors = {f"model.{name}": tensor for name, tensor in named_tensors(model).items()}
    tensors |= {f"ema.{name}": tensor for name, tensor in ema.average.items()}
    tensors |= {f"optimizer.{name}": tensor for name, tensor in optimizer_tensors(optimizer).items()}
    tensors |= {f"objective.{name}": tensor for name, tensor in objective.items()}
    write_state(path, tensors, json.dumps(asdict(state)))


def load_checkpoint(
    path: Path,
    model: CVAE,
    optimizer: torch.optim.Optimizer,
    ema: EMA,
    load_objective: Callable[[Mapping[str, Tensor]], None],
    callback: Callback = ignore,
) -> TrainerState:
    """Load what `save_checkpoint` wrote into the model, the optimizer and the average.

    If the file is damaged and the state before it is whole, that one is used instead, and the damaged file is removed.
    The training then repeats what lies between, with the same bits.

    Args:
        load_objective: called with the state of the objective.
        callback: is told of a damaged file.

    Raises:
        MissingError: there is no checkpoint.
        CorruptError: the file and the one before it are damaged, or belong to a model with other settings.
    """
    state, tensors = _read_newest(path, callback)
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "ema": {}, "optimizer": {}, "objective": {}}
    try:
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        slots = optimizer_slots(parts["optimizer"])
        optimizer.load_state_dict({**optimizer.state_dict(), "state": slots})
        load_objective(parts["objective"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CorruptError(f"{path} is damaged ({str(error).splitlines()[0]})", hint=_START_OVER) from error
    if state.step > state.skipped and len(slots) != sum(len(group["params"]) for group in optimizer.param_groups):
        raise CorruptError(f"{path} does not fit its settings: the optimizer has another number of parameters")
    copy_tensors(parts["model"], named_tensors(model), source=path)
    copy_tensors(parts["ema"], ema.average, source=path)
    return state


def _read_newest(path: Path, callback: Callback) -> tuple[TrainerState, dict[str, Tensor]]:
    """Read the state in `path`, or the one before it if that is damaged or gone."""
    older = older_state(path)
    try:
        return _read(path)
    except FileNotFoundError as error:
        if not older.exists():
            hint = _START_OVER
            raise MissingError(f"{path} is gone: the training cannot be resumed without it", hint=hint) from error
        damage = f"{path} is gone"
    except CorruptError as error:
        if not older.exists():
            raise CorruptError(error.message, hint=_START_OVER) from error
        damage = error.message
    try:
        state, tensors = _read(older)
    except CorruptError as error:
        raise CorruptError(f"{damage}, and so is the state before it", hint=_START_OVER) from error
    path.unlink(missing_ok=True)  # or it would be kept as the state before the next one
    callback(Notice(f"{damage}: going on from the state before it, of epoch {state.epoch}, step {state.step:,}", True))
    return state, tensors


def _read(path: Path) -> tuple[TrainerState, dict[str, Tensor]]:
    position, tensors = read_state(path)
    try:
        return TypeAdapter(TrainerState).validate_json(position), tensors
    except ValueError as error:
        raise CorruptError(f"{path} is damaged (its position is not one of a training)") from error


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the state of an optimizer as a flat dictionary with names `PARAMETER_INDEX.SLOT`."""
    state = optimizer.state_dict()["state"]
    return {f"{index}.{slot}": tensor for index, slots in state.items() for slot, tensor in slots.items()}


def optimizer_slots(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor]]:
    """Turn the flat dictionary of `optimizer_tensors` back into the `state` of an optimizer's state_dict."""
    slots: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, slot = name.split(".", 1)
        slots.setdefault(int(index), {})[slot] = tensor
    return slots
