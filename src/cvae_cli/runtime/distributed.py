"""The processes that share one job, as torchrun starts them: their ranks and collective operations."""

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

from cvae_cli.errors import CvaeError, UsageError
from cvae_cli.runtime import launch
from cvae_cli.runtime.meeting import meet

T = TypeVar("T")
_TIMEOUT = timedelta(hours=2)  # one process may prepare a whole data set while the others wait


@dataclass(frozen=True)
class World:
    """The processes of a job. Only rank 0 writes files and prints.

    The methods are torch.distributed's collectives; with a single process they cost nothing. All processes must call
    them in the same order.
    """

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        return self.rank == 0

    def rows(self, n: int) -> slice:
        """Return this rank's part of `n` rows: consecutive rows, about as many as every other rank has."""
        return slice(self.rank * n // self.size, (self.rank + 1) * n // self.size)

    def barrier(self) -> None:
        """Wait until every process has called this."""
        if self.size > 1:
            distributed.barrier()

    def broadcast(self, value: T) -> T:
        """Return the value that rank 0 has."""
        values = [value]
        if self.size > 1:
            distributed.broadcast_object_list(values)
        return values[0]

    def all_gather(self, value: T) -> list[T]:
        """Return the values of all processes, by rank."""
        values: list[T | None] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values  # type: ignore[return-value]

    def gather_results(self, work: Callable[[], T]) -> list[T]:
        """Call `work` in each process and gather what it returns, by rank.

        Raises:
            CvaeError, OSError: one of the processes raised it. Then all of them raise it, so that none waits for a
                process that has ended.
        """
        result: tuple[T | None, Exception | None]
        try:
            result = work(), None
        except (CvaeError, OSError) as error:
            if self.size == 1:
                raise
            result = None, error
        results = self.all_gather(result)
        for _, failure in results:
            if failure is not None:
                raise failure
        return [value for value, _ in results]  # type: ignore[misc]

    def gather_rows(self, parts: Sequence[Tensor]) -> Tensor:
        """Concatenate the rows of all processes, by rank, on the CPU."""
        return torch.cat(self.all_gather(torch.cat([part.cpu() for part in parts])))

    def all_reduce(self, tensor: Tensor) -> Tensor:
        """Return the sum of the tensor over all processes; the tensor itself does not change."""
        if self.size > 1:
            tensor = tensor.clone()
            distributed.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def all_reduce_mean_(self, tensors: Iterable[Tensor]) -> None:
        """Replace each tensor, in place, by its mean over all processes."""
        if self.size > 1 and (chosen := list(tensors)):
            flat = self.all_reduce(torch.cat([tensor.reshape(-1) for tensor in chosen])) / self.size
            for tensor, mean in zip(chosen, flat.split([tensor.numel() for tensor in chosen]), strict=True):
                tensor.copy_(mean.view_as(tensor))


SINGLE = World()
"""A world of one process."""


def get_world() -> World:
    """Return the processes that this one belongs to; outside of `process_group` it is the only one."""
    if distributed.is_available() and distributed.is_initialized():
        return World(distributed.get_rank(), distributed.get_world_size())
    return SINGLE


def environment_world() -> World:
    """Return the world that torchrun's environment variables describe, before the processes are connected."""
    return World(*launch.rank_and_size())


def local_device(name: str) -> str:
    """Return the name of this process's own GPU if several processes use one GPU each, and otherwise `name`.

    Raises:
        UsageError: this machine has fewer GPUs than processes.
    """
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if environment_world().size == 1 or name not in {"auto", "cuda"} or not torch.cuda.is_available():
        return name
    if local_rank >= torch.cuda.device_count():
        raise UsageError(
            f"{local_rank + 1} processes on this machine, which has {torch.cuda.device_count()} GPUs",
            hint="start fewer processes",
        )
    return f"cuda:{local_rank}"


@contextlib.contextmanager
def process_group(device: torch.device) -> Iterator[World]:
    """Connect the processes of the job for the length of the block; a single process does nothing."""
    if environment_world().size == 1 or distributed.is_initialized():
        yield get_world()
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    warnings.filterwarnings("ignore", message="Grad strides do not match")  # about 1x1 gradients; harmless
    store, rank, size = next(rendezvous("env://", timeout=_TIMEOUT))
    store = PrefixStore(meet(store, World(rank, size)), store)
    backend = "nccl" if device.type == "cuda" else "gloo"
    distributed.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_TIMEOUT)
    try:
        yield get_world()
    except RuntimeError as error:
        if not isinstance(error, distributed.DistError) and "gloo/transport" not in str(error):
            raise
        raise CvaeError(
            "the connection to another process of this job has ended",
            hint="where torchrun starts the processes again, they go on from what was saved last",
        ) from error
    finally:
        distributed.destroy_process_group()
