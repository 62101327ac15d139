"""How long a training is: `--epochs`, `--limit` and `--minutes`."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FASHION, Command
from helpers import fashion
from test_train_function import make_folder, weights

from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.errors import UsageError
from cvae_cli.events import Event, Notice
from cvae_cli.training import time_plan
from cvae_cli.training.data import steps_per_epoch
from cvae_cli.training.events import EpochEnd
from cvae_cli.training.plan import plan_training
from cvae_cli.training.time_plan import Pace, plan_for
from cvae_cli.training.train import train

TINY = ["--size", "16", "--precision", "fp32", "--set", "architecture.network.width=8"]
TINY += ["--set", "then.prior.width=8", "--set", "then.prior.blocks=1", "--set", "then.prior.condition_width=8"]


def steps(run: Path) -> list[int]:
    return [json.loads(line)["step"] for line in (run / "metrics.jsonl").read_text().splitlines()]


# ---- epochs and limit --------------------------------------------------------------------------------------------


def test_two_epochs_of_60_pictures_are_two_passes_and_a_prior_in_proportion(cvae: Command, tmp_path: Path) -> None:
    make_folder(tmp_path / "pics", 60)
    done = cvae("train", "folder:pics", "--epochs", "2", *TINY, "--batch-size", "9")
    assert done.returncode == 0, done.stderr
    run = tmp_path / "runs" / "pics"
    learned = int(done.stderr.partition("learns from ")[2].partition(" ")[0])
    assert 45 <= learned <= 54
    assert steps(run) == [learned // 9, 2 * (learned // 9)]
    assert steps(run / "prior") == [1, 2, 3, 4, 5, 6]  # 32 epochs for 12, a batch of all pictures in each
    assert "without it pictures trains 12 epochs of at least 6,000 pictures" in done.stderr


@pytest.mark.parametrize(
    ("recipe", "options", "expected"),
    [
        ("folder:pics", {}, (6000, 12, 32, 1.0)),
        ("folder:pics", {"epochs": 1}, (1, 1, 3, 1 / 12)),
        ("folder:pics", {"epochs": 24}, (1, 24, 64, 1.0)),
        ("folder:pics", {"limit": 300}, (270, 12, 32, 1.0)),
        ("folder:pics", {"limit": 9}, (9, 12, 32, 1.0)),
        ("folder:pics", {"limit": 50_000}, (6000, 12, 32, 1.0)),
        ("folder:pics", {"epochs": 1, "limit": 300}, (1, 1, 3, 1 / 12)),
        ("folder:pics", {"epochs": 2, "settings": {"data.epoch_size": 500, "then.training.epochs": 9}},
         (500, 2, 9, 1 / 6)),
        ("folder:pics", {"settings": {"training.epochs": 2}}, (6000, 2, 32, 1.0)),
        ("fashion", {"epochs": 7}, (1, 7, 22, 0.5)),
        ("fashion", {"epochs": 7, "prior": "none"}, (1, 7, None, 0.5)),
        ("fashion-concat", {"epochs": 1, "prior": "score"}, (1, 1, 2, 0.0)),
    ],
)  # fmt: skip
def test_epochs_and_limit_scale_both_stages(
    tmp_path: Path, recipe: str, options: dict[str, Any], expected: tuple[int, int, int | None, float]
) -> None:
    make_folder(tmp_path / "pics", 4)
    plan = plan_training(recipe.replace("pics", str(tmp_path / "pics")), out=tmp_path / "run", **options).recipe
    epoch_size, epochs, then, warmup = expected
    assert (plan.data.epoch_size, plan.training.epochs) == (epoch_size, epochs)
    assert (plan.then[0].training.epochs if plan.then else None) == then
    assert plan.training.beta_warmup_epochs == pytest.approx(warmup)


# ---- minutes -----------------------------------------------------------------------------------------------------


def two_stages() -> Recipe:
    small = {"training.batch_size": 8, "then.training.batch_size": 16, "data.dir": str(FASHION)}
    return load_recipe("fashion", small)


@pytest.mark.parametrize("minutes", [0.5, 3, 60, 1000])
def test_both_stages_share_the_minutes_as_their_epochs_do(monkeypatch: pytest.MonkeyPatch, minutes: float) -> None:
    paces = [Pace(start=0.0, step=0.05, end=0.3), Pace(start=4.0, step=0.02, end=0.5)]
    left = iter(paces)
    monkeypatch.setattr(time_plan, "_measure", lambda *_: next(left))
    own, data, heard = two_stages(), fashion(n=64), list[Event]()
    planned = plan_for(minutes, own, data, data, torch.device("cpu"), heard.append)
    trainings = planned.trainings
    times = [pace.seconds(each.epochs, each.steps or 0) for pace, each in zip(paces, trainings, strict=True)]
    assert sum(times) + 4.0 == pytest.approx(60 * minutes, rel=0.1)
    # 14 epochs of 8 steps and 44 of 4
    whole = [14 * (8 * 0.05 + 0.3), 44 * (4 * 0.02 + 0.5)]
    assert times[0] / times[1] == pytest.approx(whole[0] / whole[1], rel=0.2)
    assert planned.training.beta_warmup_epochs / planned.training.epochs == pytest.approx(1 / 14)
    for each, first in zip(trainings, own.trainings, strict=True):
        assert 1 <= each.epochs <= first.epochs
        assert each.precision == first.precision
    (notice,) = [event for event in heard if isinstance(event, Notice)]
    assert str(notice).startswith("planned for ")


def test_too_little_time_for_anything_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(time_plan, "_measure", lambda *_: Pace(start=100.0, step=2.0, end=9.0))
    heard: list[Event] = []
    planned = plan_for(1, two_stages(), fashion(), fashion(), torch.device("cpu"), heard.append)
    assert (planned.training.epochs, planned.training.steps) == (1, 1)
    (warning,) = [event for event in heard if isinstance(event, Notice) and event.is_warning]
    assert warning.text == "1:00 min is too short: on this machine the shortest training takes 3:42 min"


def test_a_planned_training_takes_the_steps_that_were_planned_and_can_be_repeated_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time_plan, "_LEAST", 0.2)  # seconds that each stage is measured
    make_folder(tmp_path / "pics", 40)
    ends: list[EpochEnd] = []

    def stop_after_the_first_epoch(event: Event) -> None:
        if isinstance(event, EpochEnd):
            ends.append(event)
            raise ConnectionError

    settings: dict[str, Any] = {"architecture.network.width": 8, "then.prior.width": 8, "then.prior.blocks": 1}
    options: dict[str, Any] = {"size": 16, "batch_size": 8, "precision": "fp32", "settings": settings}
    with pytest.raises(ConnectionError):
        train(f"folder:{tmp_path / 'pics'}", minutes=0.015, out=tmp_path / "run", callback=stop_after_the_first_epoch,
              **options)  # fmt: skip
    recipe = (tmp_path / "run" / "recipe.toml").read_text()
    resumed = train(resume=tmp_path / "run")
    assert (tmp_path / "run" / "recipe.toml").read_text() == recipe  # it is not measured again
    training, then = resumed.recipe.trainings
    assert training.steps is not None
    assert then.steps is not None
    assert steps(tmp_path / "run") == [training.steps * (epoch + 1) for epoch in range(training.epochs)]
    assert steps(tmp_path / "run" / "prior")[-1] == then.steps * then.epochs

    again = train(str(tmp_path / "run" / "recipe.toml"), out=tmp_path / "again")
    for stage in (".", "prior"):
        assert weights(again.run / stage) == weights(resumed.run / stage)


def test_steps_may_be_fewer_or_more_than_the_pictures_give() -> None:
    data = fashion(n=60)
    for asked, expected in [(None, 7), (3, 3), (20, 20)]:
        changes = {"training.steps": asked, "training.batch_size": 8}
        assert steps_per_epoch(load_recipe("fashion-concat", changes), data) == expected


@pytest.mark.parametrize("minutes", ["0", "-1", "nan", "inf", "ten"])
def test_minutes_are_a_time(cvae: Command, minutes: str) -> None:
    done = cvae("train", "fashion-concat", "--minutes", minutes)
    assert done.returncode == 2
    assert "minutes" in done.stderr


def test_minutes_plan_the_epochs_alone(cvae: Command, run_folder: Path) -> None:
    for options, words in [
        (["fashion-concat", "--epochs", "2"], "give either --epochs or --minutes"),
        (["fashion-concat", "--set", "training.steps=3"], "give either training.steps or --minutes"),
        (["--resume", run_folder], "continues a run as it was started"),
    ]:
        done = cvae("train", *options, "--minutes", "1")
        assert (done.returncode, done.stdout) == (2, "")
        assert words in done.stderr
    with pytest.raises(UsageError, match="above 0"):
        plan_training("fashion-concat", minutes=math.nan)
    done = cvae("train", "fashion-concat", "--minutes", "2.5", "--dry-run")
    assert done.returncode == 0
    assert "the epochs that take 2.5 minutes are planned when the training starts" in done.stderr
