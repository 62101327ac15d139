"""What the processes of a job agree on in torchrun's store, before they are connected.

The store belongs to the job: it outlives processes that die and are started again, on one machine or on several, and
ends with the torchrun that holds it. Machines count the restarts of their processes apart, so that these counts agree
on one machine only.
"""

import os
import time
import uuid
from typing import TYPE_CHECKING, Protocol

from cvae_cli.runtime.launch import rank_and_size, restart_count

if TYPE_CHECKING:
    from torch.distributed.distributed_c10d import Store

_PAUSE = 0.05  # seconds between two looks at the store


class _Ranked(Protocol):
    @property
    def rank(self) -> int: ...

    @property
    def size(self) -> int: ...


def meet(store: "Store", world: _Ranked) -> str:
    """Wait for all processes, and return a name for this meeting, which no earlier one had.

    What earlier processes have left in the store is stale, such as their addresses. So rank 0 chooses a name, each
    other process gives it a number of its own, and the meeting is complete when rank 0 has answered with all of them.
    """
    mine = uuid.uuid4().hex
    if world.rank == 0:
        store.set("meeting", mine)
        numbers = [store.get(f"{mine} {rank}").decode() for rank in range(1, world.size)]
        store.set(f"{mine} all", " ".join(numbers))
        return mine
    while True:
        name = store.get("meeting").decode()
        store.set(f"{name} {world.rank}", mine)
        while store.get("meeting").decode() == name:
            if store.check([f"{name} all"]) and mine in store.get(f"{name} all").decode().split():
                return name
            time.sleep(_PAUSE)


def remember(what: str) -> None:
    """Remember something that this job has done; without a store of torchrun's, do nothing."""
    if (store := _store_of_job()) is not None:
        store.set(f"done: {what}", "1")


def was_done(what: str) -> bool:
    """Whether earlier processes of this job have done something; without a store, whether there were any."""
    store = _store_of_job()
    return restart_count() > 0 if store is None else store.check([f"done: {what}"])


def _store_of_job() -> "Store | None":
    """Connect to the store that torchrun holds for the whole job, if it does."""
    if rank_and_size()[1] == 1 or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True":
        return None
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    store: Store = TCPStore(
        os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"]), is_master=False, wait_for_workers=False
    )
    return store
