"""Two machines share a training through torchrun, and one of them dies. Network namespaces stand for the machines."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import Command
from test_processes import DENSE, TRAIN, curve

EPOCHS = 5


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def machines() -> Iterator[tuple[str, str]]:
    """The names of two network namespaces, 10.99.0.1 and 10.99.0.2, with a cable between them."""
    if not shutil.which("ip") or os.geteuid():
        pytest.skip("needs root and `ip netns`")
    names = f"cvae-{os.getpid()}-1", f"cvae-{os.getpid()}-2"
    try:
        try:
            for name in names:
                ip("netns", "add", name)
            ip("link", "add", "cable1", "netns", names[0], "type", "veth", "peer", "name", "cable2", "netns", names[1])
        except subprocess.CalledProcessError as error:
            pytest.skip(f"no network namespaces here: {error.stderr}")
        for number, name in enumerate(names, 1):
            ip("-n", name, "address", "add", f"10.99.0.{number}/24", "dev", f"cable{number}")
            ip("-n", name, "link", "set", f"cable{number}", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            with suppress(subprocess.CalledProcessError):
                die(name)
                ip("netns", "delete", name)


def die(machine: str) -> None:
    """Kill all processes of a machine at once."""
    for process in ip("netns", "pids", machine).split():
        with suppress(ProcessLookupError):
            os.kill(int(process), signal.SIGKILL)


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 300
    while not is_so():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < until
        time.sleep(0.02)


def test_a_machine_that_dies_comes_back_and_the_training_goes_on(
    machines: tuple[str, str], interpreter: str, clean_environment: dict[str, str], cvae: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"

    def start(number: int) -> "subprocess.Popen[str]":
        """Start one machine's part, in its network namespace."""
        settings = f"keep_alive_interval=1,keep_alive_max_attempt=10,is_host={int(number == 1)}"
        torchrun = [interpreter, "-m", "torch.distributed.run", "--nnodes", "2", "--nproc-per-node", "1"]
        torchrun += ["--rdzv-backend", "c10d", "--rdzv-endpoint", "10.99.0.1:29400", "--rdzv-id", "ours"]
        torchrun += ["--rdzv-conf", settings, "--local-addr", f"10.99.0.{number}", "--max-restarts", "3"]
        train = ["-m", "cvae_cli", "train", *TRAIN, *DENSE, "--epochs", str(EPOCHS), "--device", "cpu"]
        return subprocess.Popen(
            ["ip", "netns", "exec", machines[number - 1], *torchrun, *train, "--out", str(run)],
            env=clean_environment
            | {
                "GLOO_SOCKET_IFNAME": f"cable{number}",
                "OMP_NUM_THREADS": "1",
                "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    with start(1) as first, start(2) as second:
        wait_until((run / "metrics.jsonl").exists, first)
        die(machines[1])
        second.communicate()
        with start(2) as again:
            said, others = first.communicate(timeout=300)[0], again.communicate(timeout=300)[0]
    assert (first.returncode, again.returncode) == (0, 0), said + others
    assert said.splitlines()[-1] == str(run / "model")
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, EPOCHS + 1))
    one = tmp_path / "one"
    assert cvae("train", *TRAIN, *DENSE, "--epochs", str(EPOCHS), "--out", one).returncode == 0
    assert curve(run) == pytest.approx(curve(one), rel=1e-4)
