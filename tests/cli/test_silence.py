"""No command is silent for long: on a terminal for at most 2 seconds, in a pipe for at most 10."""

import itertools
import json
import os
import pty
import selectors
import subprocess
import time
from pathlib import Path

import pytest
from conftest import FASHION

SMALL = ["--data-dir", FASHION, "--limit", "40", "--epochs", "1"]
FEW = ["--data-dir", FASHION, "--model", "MODEL"]

COMMANDS = {
    "train": (["train", "fashion-fast", *SMALL, "--out", "run"], "cvae_cli.training.trainer:evaluate_bound"),
    "reconstruct": (["reconstruct", "--dataset", "fashion-mnist", *FEW], "cvae_cli.models.cvae:CVAE.reconstruct"),
    "generate": (["generate", "dress", "-o", "x.png", "--model", "MODEL"], "cvae_cli.models.cvae:CVAE.sample"),
    "generate a folder": (
        ["generate", "dress", "-n", "3", "--format", "png", "-o", "out", "--model", "MODEL", "--json"],
        "cvae_cli.models.cvae:CVAE.sample",
    ),
    "evaluate the bound": (
        ["evaluate", "--metric", "mse", "--metric", "elbo", "--samples", "10", "--json", *FEW],
        "cvae_cli.models.cvae:CVAE.elbo",
    ),
    "load to evaluate": (
        ["evaluate", "--metric", "mse", "--samples", "10", *FEW],
        "cvae_cli.evaluation.evaluate:load_dataset",
    ),
    "download-weights": (["download-weights", "inception"], "cvae_cli.weights.registry:AddressWeights.download"),
}
"""Commands, and a function in each that reports no progress. The test slows it down."""


@pytest.mark.parametrize(("terminal", "limit"), [(True, 2.0), (False, 10.0)], ids=["terminal", "pipe"])
def test_no_command_is_silent_for_long(
    terminal: bool,
    limit: float,
    forks: subprocess.Popen[str],
    executable: str,
    clean_environment: dict[str, str],
    quick_model: Path,
    tmp_path: Path,
) -> None:
    """Each command has a function that works without a word for longer than may pass."""
    silent = dict.fromkeys(COMMANDS, limit)
    for attempt in range(3):  # a busy machine delays what is written
        watched, orders = [], []
        for name in silent:
            arguments, function = COMMANDS[name]
            folder = tmp_path / f"{attempt} {name}"
            folder.mkdir()
            (folder / "stdout").touch()
            stderr, path = open_terminal() if terminal else open_pipe(folder / "stderr")
            watched.append(stderr)
            argv = [executable, *(str(quick_model) if each == "MODEL" else str(each) for each in arguments)]
            streams = [os.devnull, str(folder / "stdout"), path]
            slow = {"function": function, "seconds": 1.6 * limit}
            environment = clean_environment | {"TERM": "xterm"}
            orders.append(
                {"argv": argv, "cwd": str(folder), "env": environment, "streams": streams, "slow": slow},
            )
        codes, times = run_and_watch(forks, orders, watched)
        assert codes == [3 if name == "download-weights" else 0 for name in silent]
        longest = [max(b - a for a, b in itertools.pairwise(each)) for each in times]
        silent = {name: seconds for name, seconds in zip(silent, longest, strict=True) if seconds > limit}
        if not silent:
            break
    assert silent == {}
    for name in ("generate a folder", "evaluate the bound"):
        json.loads((tmp_path / f"0 {name}" / "stdout").read_text())  # what is said does not disturb the result


def open_terminal() -> tuple[int, str]:
    """A terminal: the end that the test reads, and the path of the other end."""
    leader, follower = pty.openpty()
    os.set_blocking(leader, False)
    return leader, os.ttyname(follower)


def open_pipe(path: Path) -> tuple[int, str]:
    os.mkfifo(path)
    return os.open(path, os.O_RDWR | os.O_NONBLOCK), str(path)


def run_and_watch(
    forks: subprocess.Popen[str], orders: list[dict[str, object]], watched: list[int]
) -> tuple[list[int], list[list[float]]]:
    """Run commands at once; return their exit codes and, for each, when it started and when it wrote something."""
    assert forks.stdin is not None
    assert forks.stdout is not None
    for batch in ([], orders):  # an answer to the first means that the server has started
        forks.stdin.write(json.dumps(batch) + "\n")
        forks.stdin.flush()
        if not batch:
            forks.stdout.readline()
    times = [[time.monotonic()] for _ in watched]
    with selectors.DefaultSelector() as selector:
        for number, stream in enumerate(watched):
            selector.register(stream, selectors.EVENT_READ, times[number])
        selector.register(forks.stdout, selectors.EVENT_READ)
        while True:
            ready = [key for key, _ in selector.select()]
            for key in ready:
                if key.data is not None:
                    os.read(key.fd, 1 << 16)
                    key.data.append(time.monotonic())
            if any(key.data is None for key in ready):
                return json.loads(forks.stdout.readline()), times
