"""Several processes that share one job, as torchrun starts them: which one this is, and what they tell each other."""

import contextlib
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TypeVar

import torch
from torch import Tensor, distributed
from torch.distributed.distributed_c10d import PrefixStore
from torch.distributed.rendezvous import rendezvous

from cvae_cli import launch
from cvae_cli.errors import CvaeError, UsageError

T = TypeVar("T")
_PATIENCE = timedelta(hours=2)  # one process may prepare a whole data set while the others wait


@dataclass(frozen=True)
class World:
    """The processes of a job, numbered from 0; the first is the one that writes."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """Which of `n` rows are this process's: parts as equal as can be, one after the other."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def wait(self) -> None:
        """Go on when all have come here."""
        if self.size > 1:
            distributed.barrier()

    def told_by_first(self, value: T) -> T:
        """What the first process has as `value`."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        return values[0]

    def all_of(self, value: T) -> list[T]:
        """The values of all, in the processes' order."""
        values: list[T | None] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def agreed(self, work: Callable[[], T]) -> list[T]:
        """What `work` gives in each process, in their order; an error that a user should read is raised in all."""
        result: tuple[T | None, Exception | None]
        try:
            result = work(), None
        except (CvaeError, OSError) as error:
            if self.size == 1:
                raise
            result = None, error
        results = self.all_of(result)
        for _, failure in results:
            if failure is not None:
                raise failure
        return [value for value, _ in results]  # type: ignore[misc]

    def joined(self, parts: Sequence[Tensor]) -> Tensor:
        """The rows that all processes have, in the processes' order, on the CPU."""
        return torch.cat(self.all_of(torch.cat([part.cpu() for part in parts])))

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def average_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor by its mean over all processes."""
        if self.size > 1 and (chosen := list(tensors)):
            flat = self.sum(torch.cat([tensor.reshape(-1) for tensor in chosen])) / self.size
            for tensor, mean in zip(chosen, flat.split([tensor.numel() for tensor in chosen]), strict=True):
                tensor.copy_(mean.view_as(tensor))


ALONE = World()


def world() -> World:
    """The processes that this one belongs to; alone unless `joined`."""
    if distributed.is_available() and distributed.is_initialized():
        return World(distributed.get_rank(), distributed.get_world_size())
    return ALONE


def expected() -> World:
    """What the environment, as torchrun sets it, says before the processes have met."""
    return World(*launch.place())


def was_restarted() -> bool:
    """Whether torchrun has started this process again, after one of them had died."""
    return expected().size > 1 and _restarts() > 0


def _restarts() -> int:
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))


def own_device(name: str) -> str:
    """`cuda` or `auto` as the GPU of this process, where each has one of its own."""
    local = int(os.environ.get("LOCAL_RANK", "0"))
    if expected().size == 1 or name not in {"auto", "cuda"} or not torch.cuda.is_available():
        return name
    if local >= torch.cuda.device_count():
        raise UsageError(
            f"{local + 1} processes on this machine, which has {torch.cuda.device_count()} GPUs", hint="start fewer"
        )
    return f"cuda:{local}"


@contextlib.contextmanager
def joined(device: torch.device) -> Iterator[World]:
    """Meet the other processes, if there are any, for the length of the block."""
    if expected().size == 1 or distributed.is_initialized():
        yield world()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # of 1x1 gradients, and harmless
    store, rank, size = next(rendezvous("env://", timeout=_PATIENCE))
    # torchrun keeps its store when it starts everything again, and in it the addresses of processes that are gone
    store = PrefixStore(f"start {_restarts()}", store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)
    try:
        yield world()
    finally:
        distributed.destroy_process_group()
