"""Run a command as several processes that share its work, as `torchrun` does, for `--gpus N`."""

import os
import shutil
import sys
import tempfile
import time
from pathlib import Path

from cvae_cli.errors import ExitCode, UsageError
from cvae_cli.runtime.interrupt import ignores_hangup

_RESTARTS = 3  # how often all processes are restarted after one of them has died
_EXIT_CODE = "CVAE_EXIT_CODE_FILE"  # the variable with the path of the file that records a final exit code
_PATIENCE = 5.0  # seconds that another rank waits for rank 0, which may be stuck


def rank_and_size() -> tuple[int, int]:
    """Return this process's rank and the world size, from torchrun's environment variables; (0, 1) without them."""
    rank, size = os.environ.get("RANK", ""), os.environ.get("WORLD_SIZE", "")
    # other programs use these variables too, with other meanings
    if not (rank.isdecimal() and size.isdecimal() and int(size) > 1):
        return 0, 1
    return int(rank), int(size)


def restart_count() -> int:
    """Return how often torchrun has restarted this process because one of the processes died."""
    return int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")) if rank_and_size()[1] > 1 else 0


def recorded_exit_code() -> int | None:
    """Return the exit code that a process of this job recorded before a restart; the work must then not start again."""
    file = os.environ.get(_EXIT_CODE, "")
    text = Path(file).read_text(encoding="ascii") if file and rank_and_size()[1] > 1 else ""
    return int(text) if text else None


def record_exit_code(code: int) -> None:
    """Record the exit code of this job if a restart would not change it.

    The end of any process stops the others. Rank 0 alone says what is wrong, so the others let it end first.
    """
    file = os.environ.get(_EXIT_CODE, "")
    rank, size = rank_and_size()
    if not file or size == 1 or code in {ExitCode.OK, ExitCode.UNEXPECTED}:
        return
    patience = time.monotonic() + (_PATIENCE if rank else 0)
    while not Path(file).read_bytes():
        if time.monotonic() >= patience:
            Path(file).write_text(str(int(code)), encoding="ascii")
            return
        time.sleep(0.02)


def check_gpus(n: int, device: str) -> None:
    """Raise a UsageError if `n` processes cannot have one GPU each; on a CPU they share the cores."""
    import torch

    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device != "cpu" and n > available:
        raise UsageError(
            f"--gpus {n}: this machine has {available}",
            hint="several processes can also share a CPU:  add --device cpu",
        )


def launch(n: int, arguments: list[str]) -> int:
    """Run `cvae ARGUMENTS` as `n` processes on this machine; only rank 0 prints.

    When a process dies, all processes are restarted, and the work continues from the last saved state.

    Returns:
        The exit code of the command.
    """
    import logging
    import uuid

    from torch.distributed.elastic.multiprocessing.api import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    folder = tempfile.mkdtemp()
    file = Path(folder) / "exit-code"
    file.touch()
    os.environ[_EXIT_CODE] = str(file)
    logging.disable(logging.CRITICAL)  # the processes print their own errors, and torch what it does with them
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
    if ignores_hangup():  # torch would end the processes when the terminal is closed
        config.signals_to_handle = "SIGTERM,SIGINT,SIGQUIT"
    try:
        elastic_launch(config, sys.executable)("-m", "cvae_cli", *arguments)
    except ChildFailedError:
        return int(file.read_text() or ExitCode.UNEXPECTED)
    except SignalException:
        return ExitCode.INTERRUPTED
    finally:
        shutil.rmtree(folder)
    return ExitCode.OK
