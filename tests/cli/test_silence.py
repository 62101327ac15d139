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

SMALL = ["--data-dir", FASHION, "--limit", "40", "--epochs", "1", "--set", "architecture.network.width=8"]
FEW = ["--data-dir", FASHION, "--model", "MODEL"]

COMMANDS = {
    "train": (["train", "fashion-fast", *SMALL, "--out", "run"], "cvae_cli.training.trainer:evaluate_bound"),
    "plan": (["train", "fashion-fast", *SMALL, "--out", "run"], "cvae_cli.training.plan:plan_training"),
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


SLOW = """
import sys, time
from pkgutil import resolve_name

function, seconds = sys.argv[1], float(sys.argv[2])
del sys.argv[1:3]
owner, _, name = function.replace(":", ".").rpartition(".")
owner = resolve_name(owner)
quick = getattr(owner, name)
def slow(*arguments, **options):
    time.sleep(seconds)
    return quick(*arguments, **options)
setattr(owner, name, slow)

from cvae_cli.app import main
main()
"""


@pytest.mark.parametrize(("terminal", "limit"), [(True, 2.0), (False, 10.0)], ids=["terminal", "pipe"])
def test_no_command_is_silent_for_long(
    terminal: bool,
    limit: float,
    interpreter: str,
    clean_environment: dict[str, str],
    quick_model: Path,
    tmp_path: Path,
) -> None:
    """Each command has a function that works without a word for longer than may pass."""

    def longest_silence(names: list[str], attempt: int) -> dict[str, float]:
        """Run commands side by side, and return the longest silence of each, in seconds."""
        processes, watched = [], []
        for name in names:
            arguments, function = COMMANDS[name]
            folder = tmp_path / f"{attempt} {name}"
            folder.mkdir()
            command = [interpreter, "-c", SLOW, function, str(1.6 * limit)]
            command += [str(quick_model) if each == "MODEL" else str(each) for each in arguments]
            ours, theirs = pty.openpty() if terminal else os.pipe()
            with (folder / "stdout").open("w") as stdout:
                processes.append(
                    subprocess.Popen(
                        command, cwd=folder, env=clean_environment | {"TERM": "xterm"},
                        stdin=subprocess.DEVNULL, stdout=stdout, stderr=theirs,
                    )
                )  # fmt: skip
            os.close(theirs)
            watched.append(ours)
        times = watch(watched)
        assert [process.wait() for process in processes] == [3 if each == "download-weights" else 0 for each in names]
        return {name: max(b - a for a, b in itertools.pairwise(each)) for name, each in zip(names, times, strict=True)}

    silences = longest_silence(list(COMMANDS), 0)
    for attempt in (1, 2, 3):  # a busy machine delays what is written
        for name in [name for name, seconds in silences.items() if seconds > limit]:
            silences |= longest_silence([name], attempt)
    assert {name: seconds for name, seconds in silences.items() if seconds > limit} == {}
    for name in ("generate a folder", "evaluate the bound"):
        json.loads((tmp_path / f"0 {name}" / "stdout").read_text())  # what is said does not disturb the result


def watch(streams: list[int]) -> list[list[float]]:
    """Return, for each stream, the time now, the times when something was written, and the time when it ended."""
    times = [[time.monotonic()] for _ in streams]
    with selectors.DefaultSelector() as selector:
        for number, stream in enumerate(streams):
            selector.register(stream, selectors.EVENT_READ, times[number])
        while selector.get_map():
            for key, _ in selector.select():
                key.data.append(time.monotonic())
                try:
                    ended = not os.read(key.fd, 1 << 16)
                except OSError:  # a terminal that nobody writes to any more
                    ended = True
                if ended:
                    selector.unregister(key.fd)
                    os.close(key.fd)
    return times
