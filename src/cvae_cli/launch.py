"""Starting a command again as several processes that share its work: what `torchrun` does, for `--gpus N`."""

import os
import shutil
import sys
import tempfile
from pathlib import Path

from cvae_cli.errors import ExitCode, UsageError

_RESTARTS = 3  # times that all processes begin again after one of them has died
_VERDICT = "CVAE_VERDICT"  # names the file in which a process leaves an exit code that no new beginning would change


def place() -> tuple[int, int]:
    """Which process this is, from 0, and of how many, as torchrun's environment says; alone it is 0 of 1."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    if not (rank.isdecimal() and size.isdecimal() and int(size) > 1):  # whatever else they mean, it is not torchrun's
        return 0, 1
    return int(rank), int(size)


def verdict() -> int | None:
    """The exit code that an earlier process of this job has left, after which there is nothing to do."""
    file = os.environ.get(_VERDICT, "")
    text = Path(file).read_text(encoding="ascii") if file and place()[1] > 1 else ""
    return int(text) if text else None


def leave_verdict(code: int) -> None:
    """Tell whoever started this job that it ends with `code`, and need not begin again."""
    file = os.environ.get(_VERDICT, "")
    if file and place()[1] > 1 and code not in {ExitCode.OK, ExitCode.UNEXPECTED} and not Path(file).read_bytes():
        Path(file).write_text(str(int(code)), encoding="ascii")


def check(n: int, device: str) -> None:
    """Raise a UsageError where `n` processes cannot have a GPU each; on a CPU they share the cores."""
    import torch

    here = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device != "cpu" and n > here:
        raise UsageError(
            f"--gpus {n}: this machine has {here}", hint="several processes can share a CPU, too:  add --device cpu"
        )


def launch(n: int, arguments: list[str]) -> int:
    """Run `cvae ARGUMENTS` as `n` processes on this machine; what the first one says is what is said.

    A process that dies takes the others with it, and all go on from the last saved state.

    Returns:
        the exit code.
    """
    import logging
    import uuid

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    folder = tempfile.mkdtemp()
    file = Path(folder) / "verdict"
    file.touch()
    os.environ[_VERDICT] = str(file)
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL)  # our processes speak for themselves
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // n)))
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=n,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",
        max_restarts=_RESTARTS,
        monitor_interval=0.5,
    )
    try:
        elastic_launch(config, sys.executable)("-m", "cvae_cli", *arguments)
    except ChildFailedError:
        return int(file.read_text() or ExitCode.UNEXPECTED)
    except SignalException:
        return ExitCode.INTERRUPTED
    finally:
        shutil.rmtree(folder)
    return ExitCode.OK
