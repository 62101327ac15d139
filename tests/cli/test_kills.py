"""`kill -9` at random moments: the same command, or --resume, comes to the same files in the end.

CVAE_KILLS says how many times a training is killed, and a fifth as often a bulk job; by default a handful.
"""

import json
import os
import random
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from forkserver import KILL
from pictures_data import classes
from test_bulk import written

from cvae_cli.training.state_file import read_state

KILLS = int(os.environ.get("CVAE_KILLS", "5"))
TINY = ["--size", "8", "--precision", "fp32", "--batch-size", "8", "--epochs", "3"]
TINY += ["--set", "architecture.network.width=8", "--set", "then.prior.width=8", "--set", "then.prior.blocks=1"]
TINY += ["--set", "then.training.batch_size=8", "--set", "then.training.epochs=3"]

Killed = Callable[..., bool]


@pytest.fixture
def killed(executable: str, clean_environment: dict[str, str], tmp_path: Path) -> Killed:
    """A function that runs the command, kills it after some seconds, and returns whether it was still running."""

    def run(*arguments: str, seconds: float) -> bool:
        command, pipe = [executable, *arguments], subprocess.PIPE
        with subprocess.Popen(command, cwd=tmp_path, env=clean_environment, stdout=pipe, stderr=pipe) as process:
            try:
                _, stderr = process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(KILL)
                process.communicate()
                return True
        assert process.returncode == 0, stderr.decode()
        return False

    return run


def outcome(run: Path) -> dict[str, Any]:
    """Return everything that a run has come to, without its times."""
    found: dict[str, Any] = {}
    for name in (".", "prior"):
        stage = run / name
        for path in [*stage.glob("*/*.safetensors"), *stage.glob("samples/*.png")]:
            if path.parent.name != "state":
                found[str(path.relative_to(run))] = path.read_bytes()
        lines = map(json.loads, (stage / "metrics.jsonl").read_text().splitlines())
        found[f"{name} metrics"] = [line | {"seconds": 0} for line in lines]
        position, tensors = read_state(stage / "state" / "training.safetensors")
        found[f"{name} state"] = {name: tensor.numpy().tobytes() for name, tensor in tensors.items()}
        found[f"{name} step"] = json.loads(position)["step"]
    found |= {"drafts": [str(path) for path in run.rglob(".*.tmp")]}
    return found


def test_a_training_that_is_killed_again_and_again_ends_with_the_same_bits(
    cvae: Command, killed: Killed, tmp_path: Path
) -> None:
    classes(tmp_path / "pics")
    command = ["train", "folder:pics", *TINY]
    started = time.monotonic()
    assert cvae(*command, "--out", "whole").returncode == 0
    duration = time.monotonic() - started
    whole = outcome(tmp_path / "whole")
    assert {"model/model.safetensors", "prior/last/model.safetensors", "samples/epoch-003.png"} <= whole.keys()
    assert whole["drafts"] == []
    moments, kills, runs = random.Random(0), 0, 0
    while kills < KILLS:
        runs += 1
        run = tmp_path / f"run-{runs}"
        is_killed = True
        while is_killed:
            resume = (
                ["train", "--resume", str(run)] if (run / "recipe.toml").exists() else [*command, "--out", str(run)]
            )
            is_killed = killed(*resume, seconds=moments.uniform(0, duration / 2) if kills < KILLS else 600)
            kills += is_killed
        ended = outcome(run)
        assert [name for name in whole | ended if whole.get(name) != ended.get(name)] == [], f"run {runs}"
        print(f"killed {kills} times in {runs} trainings", flush=True)


def test_a_bulk_job_that_is_killed_again_and_again_ends_with_the_same_files(
    cvae: Command, killed: Killed, quick_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("".join(f"dress {number}\n" for number in range(300)))
    command = ["generate", "--model", str(quick_model), "--from", "prompts.txt", "-n", "2", "--format", "png"]
    started = time.monotonic()
    assert cvae(*command, "-o", "whole").returncode == 0
    duration = time.monotonic() - started
    whole = written(tmp_path / "whole")
    assert len(whole) == 601
    moments, kills, jobs = random.Random(0), 0, 0
    while kills < max(1, KILLS // 5):
        jobs += 1
        while killed(*command, "-o", f"out-{jobs}", seconds=moments.uniform(0, duration)):
            kills += 1
        assert written(tmp_path / f"out-{jobs}") == whole
        assert not list((tmp_path / f"out-{jobs}").glob(".*.tmp"))
        print(f"killed {kills} times in {jobs} jobs", flush=True)
