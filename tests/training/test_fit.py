"""Training in the library: the loss falls, runs are reproducible, and they resume."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FASHION
from helpers import VARIANTS, data_for, same

from cvae_cli import CVAE
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import CorruptError, DivergedError, MissingError, UsageError
from cvae_cli.events import Event
from cvae_cli.training.events import EpochEnd, EpochProgress
from cvae_cli.training.fit import fit
from cvae_cli.training.run import Run

CPU = torch.device("cpu")


class Recorder:
    """A callback that records events, and can stop the training at the end of an epoch."""

    def __init__(self, stop_after: int = 0) -> None:
        self.results: list[EpochEnd] = []
        self.stop_after = stop_after

    def __call__(self, event: Event) -> None:
        match event:
            case EpochProgress():
                assert event.total
                assert 0 < event.done <= event.total
            case EpochEnd():
                self.results.append(event)
                if event.epoch == self.stop_after:
                    raise ConnectionError("pulled the plug")


def start(folder: Path, changes: dict[str, Any] | None = None, variant: str = "article-concat") -> Run:
    settings = {"training.epochs": 3, "training.batch_size": 8, "data.dir": str(FASHION)}
    run = Run(folder)
    run.create(load_recipe("fashion-concat", settings | VARIANTS[variant] | (changes or {})), force=False)
    return run


def data(variant: str = "article-concat") -> tuple[Dataset, Dataset]:
    """Return two batches of pictures, and some for validation."""
    return data_for(variant, 16), data_for(variant, 4)


def weights(run: Run) -> dict[str, bytes]:
    folders = {"kept": run.kept_model, "last": run.last_model}
    return {name: (folder / "model.safetensors").read_bytes() for name, folder in folders.items()}


def test_training_learns_and_writes_a_run(tmp_path: Path) -> None:
    run, recorder = start(tmp_path / "run"), Recorder()
    pictures = data_for("article-concat", 128), data_for("article-concat", 40)
    fit(run, run.recipe(), *pictures, device=CPU, resume=False, callback=recorder)
    bounds = [result.validation_negative_elbo for result in recorder.results]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[-1] < 0.8 * 28 * 28 * 0.693  # far below the loss of a decoder with grey everywhere
    lines = [json.loads(line) for line in run.metrics_file.read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3]
    assert lines[-1]["valid"]["negative_elbo"] == bounds[-1]
    assert run.samples_file(3).exists()
    assert CVAE.from_pretrained(run.folder).generate("dress")[0].size == (28, 28)
    assert not list(run.folder.rglob("*.tmp"))


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize("variant", ["article-concat", "captioned-residual-modulate"])
def test_a_training_stopped_between_epochs_ends_with_the_same_bits(tmp_path: Path, variant: str) -> None:
    """Without averages, schedule and flips; test_every_model.py stops all models within epochs, and has these."""
    whole = start(tmp_path / "whole", {"training.epochs": 2}, variant)
    fit(whole, whole.recipe(), *data(variant), device=CPU, resume=False, callback=Recorder())
    broken = start(tmp_path / "broken", {"training.epochs": 2}, variant)
    with pytest.raises(ConnectionError):
        fit(broken, broken.recipe(), *data(variant), device=CPU, resume=False, callback=Recorder(stop_after=1))
    torch.rand(17)  # unrelated random numbers of this process in between
    fit(broken, broken.recipe(), *data(variant), device=CPU, resume=True, callback=Recorder())
    assert weights(broken) == weights(whole)


@pytest.mark.usefixtures("no_grids")
def test_memory_of_adam_is_a_setting(tmp_path: Path) -> None:
    runs = [
        start(tmp_path / str(beta2), {"training.adam_beta2": beta2, "training.epochs": 1}, "dense-concat")
        for beta2 in (0.9, 0.99)
    ]
    for run in runs:
        fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    assert weights(runs[0]) != weights(runs[1])


@pytest.mark.usefixtures("no_grids")
def test_average_of_the_weights_becomes_the_model(tmp_path: Path) -> None:
    runs = [start(tmp_path / str(decay), {"training.ema_decay": decay, "training.epochs": 1}) for decay in (0.0, 0.99)]
    for run in runs:
        fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    plain, averaged = (CVAE.from_pretrained(run.folder) for run in runs)
    assert not same(plain.network.mean.weight.detach(), averaged.network.mean.weight.detach())


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize("keep", ["best", "last"])
def test_the_model_is_the_epoch_that_was_asked_for(tmp_path: Path, keep: str) -> None:
    changes = {"training.keep": keep, "training.epochs": 6, "training.learning_rate": 0.03, "data.epoch_size": 64}
    run, recorder = start(tmp_path / "run", changes, "dense-concat"), Recorder()
    few = data_for("dense-concat", 16)
    fit(run, run.recipe(), few, data_for("dense-concat", 40), device=CPU, resume=False, callback=recorder)
    assert not recorder.results[-1].is_best  # overfitted
    assert (weights(run)["kept"] == weights(run)["last"]) == (keep == "last")


@pytest.mark.usefixtures("no_grids")
def test_diverging_training_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    with pytest.raises(ConnectionError):
        fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder(stop_after=1))
    good = run.state_file.read_bytes()
    run.write_recipe(run.recipe({"training.learning_rate": 1e30}))
    with pytest.raises(DivergedError, match="finite"):
        fit(run, run.recipe(), *data(), device=CPU, resume=True, callback=Recorder())
    assert run.state_file.read_bytes() == good
    run.write_recipe(run.recipe({"training.learning_rate": 1e-3}))
    fit(run, run.recipe(), *data(), device=CPU, resume=True, callback=Recorder())


@pytest.mark.usefixtures("no_grids")
def test_state_of_another_model_is_refused(tmp_path: Path) -> None:
    run = start(tmp_path / "run", {"training.epochs": 1})
    fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    run.write_recipe(run.recipe({"architecture.latent_dim": 7, "training.epochs": 2}))
    with pytest.raises(CorruptError, match="does not fit"):
        fit(run, run.recipe(), *data(), device=CPU, resume=True, callback=Recorder())


@pytest.mark.usefixtures("no_grids")
def test_run_stopped_before_its_first_state_begins_again(tmp_path: Path) -> None:
    run, recorder = start(tmp_path / "run", {"training.epochs": 1}), Recorder()
    fit(run, run.recipe(), *data(), device=CPU, resume=True, callback=recorder)
    assert len(recorder.results) == 1


@pytest.mark.usefixtures("no_grids")
def test_going_on_without_the_state_is_refused(tmp_path: Path) -> None:
    run = start(tmp_path / "run", {"training.epochs": 1})
    fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    shutil.rmtree(run.state_file.parent)
    with pytest.raises(MissingError, match="is gone"):
        fit(run, run.recipe(), *data(), device=CPU, resume=True, callback=Recorder())


@pytest.mark.usefixtures("no_grids")
def test_epochs_can_only_be_added_and_not_to_one_cycle(tmp_path: Path) -> None:
    run = start(tmp_path / "run", {"training.epochs": 2})
    fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    with pytest.raises(UsageError, match="2 epochs already"):
        fit(run, run.recipe({"training.epochs": 1}), *data(), device=CPU, resume=True, callback=Recorder())
    changes = {"training.epochs": 3, "training.schedule": "one-cycle"}
    with pytest.raises(UsageError, match="one-cycle"):
        fit(run, run.recipe(changes), *data(), device=CPU, resume=True, callback=Recorder())
    assert run.recipe().training.epochs == 2


def test_a_run_is_not_overwritten_without_force(tmp_path: Path) -> None:
    run = start(tmp_path / "run")
    with pytest.raises(UsageError, match="already holds a run"):
        run.create(run.recipe(), force=False)
    run.write_metrics([{"epoch": 1}])
    run.create(run.recipe(), force=True)
    assert not run.metrics_file.exists()


def test_force_does_not_remove_what_is_not_a_run(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "final.tex").touch()
    with pytest.raises(UsageError, match="not a run"):
        Run(tmp_path / "thesis").create(load_recipe("fashion-concat"), force=True)
    assert (tmp_path / "thesis" / "final.tex").exists()
