"""`train --log tensorboard`: the event files say what `metrics.jsonl` says."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FASHION, Command
from PIL import Image

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.training import tensorboard
from cvae_cli.training.plan import plan_training

TINY = ["--data-dir", FASHION, "--limit", "100", "--batch-size", "90", "--set", "architecture.network.width=8",
        "--set", "training.schedule=constant"]  # fmt: skip
PRIOR = [
    "--prior",
    "flow",
    "--set",
    "then.prior.layers=1",
    "--set",
    "then.prior.width=4",
    "--set",
    "then.training.epochs=2",
]

Events = Callable[[Path], Any]


@pytest.fixture
def events() -> Events:
    """A function that reads the event files of a stage as TensorBoard does."""

    def read(stage: Path) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
        accumulator = EventAccumulator(str(stage / "tensorboard"), size_guidance={"images": 0})
        accumulator.Reload()
        return accumulator

    return read


def metrics(stage: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (stage / "metrics.jsonl").read_text().splitlines()]


def scalars(events: Any, tag: str) -> list[tuple[int, float]]:
    return [(each.step, each.value) for each in events.Scalars(tag)]


def test_both_stages_are_logged_and_a_resumed_run_goes_on_with_its_log(
    cvae: Command, tmp_path: Path, events: Events
) -> None:
    done = cvae("train", "fashion-fast", *TINY, *PRIOR, "--epochs", "1", "--log", "tensorboard", "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "tensorboard --logdir run" in done.stderr
    again = cvae("train", "--resume", "run", "--epochs", "2")
    assert again.returncode == 0, again.stderr
    for stage in (tmp_path / "run", tmp_path / "run" / "prior"):
        logged, lines = events(stage), metrics(stage)
        for part in ("train", "valid"):
            for name in lines[0][part]:
                said = [(line["step"], pytest.approx(line[part][name], rel=1e-6)) for line in lines]
                assert scalars(logged, f"{part}/{name}") == said, name
        pictures = logged.Images("samples")
        assert [each.step for each in pictures] == [line["step"] for line in lines]
        with Image.open(stage / "samples" / "epoch-001.png") as saved:
            (tmp_path / "logged.png").write_bytes(pictures[0].encoded_image_string)
            with Image.open(tmp_path / "logged.png") as picture:
                assert np.array_equal(np.asarray(picture.convert("RGB")), np.asarray(saved.convert("RGB")))
    assert len(metrics(tmp_path / "run")) == 2
    assert scalars(events(tmp_path / "run"), "train/negative_elbo")[1][1] == pytest.approx(
        sum(metrics(tmp_path / "run")[1]["train"].values()), rel=1e-6
    )


def test_a_log_that_is_asked_for_later_has_all_epochs_and_force_removes_it(
    cvae: Command, tmp_path: Path, events: Events
) -> None:
    tiny = ["train", "fashion-fast", *TINY, "--epochs", "1", "--out", "run"]
    assert cvae(*tiny).returncode == 0
    assert not (tmp_path / "run" / "tensorboard").exists()
    assert cvae("train", "--resume", "run", "--epochs", "2", "--log", "tensorboard").returncode == 0
    assert [step for step, _ in scalars(events(tmp_path / "run"), "valid/rate")] == [1, 2]
    assert cvae(*tiny, "--force").returncode == 0
    assert not (tmp_path / "run" / "tensorboard").exists()


def test_a_log_that_cannot_be_written_is_said_before_the_training(
    cvae: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = cvae("train", "fashion-fast", *TINY, "--log", "tensorbord", "--out", "run")
    assert done.returncode == 2
    assert 'no log "tensorbord". Did you mean "tensorboard"?' in done.stderr
    assert not (tmp_path / "run").exists()
    with pytest.raises(UsageError, match="no log"):
        plan_training("fashion-fast", log="wandb")
    monkeypatch.setattr(tensorboard, "find_spec", lambda name: None)
    with pytest.raises(MissingError, match="tensorboard is not installed") as error:
        plan_training("fashion-fast", log="tensorboard")
    assert error.value.hint == 'pip install "cvae-cli[tensorboard]"'
