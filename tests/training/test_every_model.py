"""Training of every network and prior: it is reproducible, resumes, gives a usable model, and drops diverged states."""

import json
import math
import shutil
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import CAPTIONS, VARIANTS, data_for, same
from test_fit import CPU, Recorder, weights

from cvae_cli import CVAE
from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.batches import Batch, Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import DivergedError, InterruptedRunError
from cvae_cli.events import Event
from cvae_cli.models.pretrained import weights_sha256
from cvae_cli.models.tensors import named_tensors
from cvae_cli.paths import write_bytes
from cvae_cli.pictures.pixels import to_float
from cvae_cli.training import clock, trainer
from cvae_cli.training.events import EpochEnd, EpochProgress
from cvae_cli.training.fit import fit
from cvae_cli.training.run import Run
from cvae_cli.weights.download import file_sha256

PRIOR = "architecture.prior"
RATE = {"training.learning_rate": 1e-3, "training.schedule": "one-cycle"}
SETTINGS = {
    **RATE,
    "training.epochs": 2,
    "training.batch_size": 6,  # two steps per epoch
    "training.ema_decay": 0.9,
    "training.gradient_clip": 10.0,
    "data.flip": True,
}
FAR_TOO_FAST = {"training.learning_rate": 100.0, "training.schedule": "constant"}
CAREFUL = {"training.learning_rate": 1e-3, "training.schedule": "constant"}


@dataclass(frozen=True)
class Training:
    """The last training of a variant: of the whole model, or of its score prior."""

    variant: str
    train: Dataset
    validation: Dataset
    first: Path
    """The folder of the preceding training, if there is one."""

    @property
    def has_second(self) -> bool:
        return VARIANTS[self.variant].get(PRIOR, {}).get("kind") == "score"

    def new_run(self, folder: Path, changes: dict[str, Any] | None = None) -> Run:
        recipe = _recipe(self.variant)
        if self.has_second:
            model = Run(self.first).kept_model
            following = recipe.next_stage(model, weights_sha256(model))
            assert following is not None
            recipe = following
        run = Run(folder)
        run.create(recipe, force=False)
        run.write_recipe(run.recipe(SETTINGS | (changes or {})))
        return run

    def fit(
        self, run: Run, callback: Recorder | None = None, *, resume: bool = False, changes: dict[str, Any] | None = None
    ) -> Recorder:
        callback = callback or Recorder()
        data = self.train, self.validation
        fit(run, run.recipe(changes), *data, device=CPU, resume=resume, callback=callback)
        return callback


def _recipe(variant: str, changes: dict[str, Any] | None = None) -> Recipe:
    settings = SETTINGS | VARIANTS[variant] | (changes or {})
    if settings.get(PRIOR, {}).get("kind") != "score":
        return load_recipe("fashion-concat", settings)
    settings["then.prior"] = settings.pop(PRIOR)
    return load_recipe("fashion-concat", settings, prior="score")


def _train_first(training: Training) -> None:
    """Run the training that precedes that of a score prior: the same model with the standard prior."""
    run = Run(training.first)
    run.create(_recipe(training.variant, {"training.epochs": 1}), force=False)
    training.fit(run)


@pytest.fixture(scope="module", params=VARIANTS)
def training(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Training:
    folder = tmp_path_factory.mktemp(request.param)
    data = data_for(request.param, 12)
    training = Training(request.param, data, data.limit(4), folder / "first")
    if training.has_second:
        _train_first(training)
    return training


@pytest.fixture(scope="module")
def finished(training: Training, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A finished run, which tests only read."""
    run = training.new_run(tmp_path_factory.mktemp("whole") / "run")
    training.fit(run)
    return run


@pytest.fixture(autouse=True)
def no_grids_and_cards(finished: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only the finished run draw its grids of samples and write its cards, which take as long as an epoch here."""
    grid = finished.samples_file(2).read_bytes()
    monkeypatch.setattr(trainer, "save_sample_grid", lambda model, pictures, path: write_bytes(path, grid))
    monkeypatch.setattr(trainer, "model_card", lambda *facts: "# A model of a test\n")


# ---- reproducible, and resumed ---------------------------------------------------------------------------------
# A broken run ends with the bits of the finished one, so the seed decides every bit; another seed gives other weights.


class Stopper(Recorder):
    """A callback that sends Ctrl-C, or raises an error (`plug`), after a batch of an epoch."""

    def __init__(self, epoch: int, batch: int, *, plug: bool = False) -> None:
        super().__init__()
        self.moment, self.plug = (epoch, batch), plug

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, EpochProgress) and (event.epoch, event.done) == self.moment:
            if self.plug:
                raise ConnectionError("pulled the plug")
            signal.raise_signal(signal.SIGINT)


# ---- a usable model --------------------------------------------------------------------------------------------


def test_a_trained_model_serves_and_a_second_load_draws_the_same(training: Training, finished: Run) -> None:
    once, again = CVAE.from_pretrained(finished.kept_model), CVAE.from_pretrained(finished.folder)
    assert_sound(once)
    shown = training.train
    images = to_float(torch.from_numpy(shown.images))
    condition = torch.from_numpy(shown.conditions.values(np.arange(12)))
    prompt = CAPTIONS[0][0] if training.variant.startswith(("photo", "captioned")) else "dress"

    many, few = once.generate(prompt, n=18, seed=5), again.generate(prompt, n=2, seed=5)  # more and less than a chunk
    assert all(same(a, b) for a, b in zip(many, few, strict=False))
    assert len({picture.tobytes() for picture in many}) > 1
    drawn = once.sample(condition.repeat_interleave(2, dim=0))
    assert torch.equal(drawn[:3], again.sample(condition[[0, 0, 1]]))
    earlier = (condition[:2] == condition[2]).reshape(2, -1).all(dim=1).sum()  # equal conditions go on
    assert torch.equal(drawn[5:6], again.sample(condition[[2]], indices=[2 * int(earlier) + 1]))

    through = once.reconstruct(images, condition)
    assert through.shape == images.shape
    assert 0 <= through.min() < through.max() <= 1
    assert torch.equal(through, again.reconstruct(images, condition))
    noise = torch.randn(12, *once.latent_shape)
    bound = once.elbo(images, condition, noise=noise).negative_elbo
    assert bound.isfinite().all()
    assert torch.equal(bound, again.elbo(images, condition, noise=noise).negative_elbo)


# ---- diverged states are not saved ------------------------------------------------------------------------------


class Witness(Recorder):
    """A recorder of the digests of the files on disk at the end of each epoch."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self.run = run
        self.kept: list[dict[str, str]] = []

    def __call__(self, event: Event) -> None:
        super().__call__(event)
        if isinstance(event, EpochEnd):
            self.kept.append(kept(self.run))


def kept(run: Run) -> dict[str, str]:
    """Return the digests of the state and the models of a run."""
    folders = {"kept": run.kept_model, "last": run.last_model}
    digests = {name: weights_sha256(folder) for name, folder in folders.items()}
    return digests | {"state": file_sha256(run.state_file)}


def plant_nan(monkeypatch: pytest.MonkeyPatch) -> None:
    """Set one value of a picture or a latent in the second batch of the second epoch to NaN."""
    serve = Batches.epoch

    def serve_nan(self: Batches, epoch: int, start: int = 0) -> Iterator[Batch]:
        for index, (pictures, condition) in enumerate(serve(self, epoch, start), start):
            if (epoch, index) == (1, 1):
                pictures = pictures.clone()
                pictures[(3, *[0] * (pictures.ndim - 1))] = math.nan
            yield pictures, condition

    monkeypatch.setattr(Batches, "epoch", serve_nan)


def assert_sound(model: CVAE) -> None:
    assert all(tensor.isfinite().all() for tensor in named_tensors(model).values())


def last_bound(run: Run) -> float:
    """Return -ELBO on the validation pictures after the last epoch of a run, in nats."""
    return float(json.loads(run.metrics_file.read_text().splitlines()[-1])["valid"]["negative_elbo"])


def assert_told(caught: pytest.ExceptionInfo[DivergedError], run: Run) -> None:
    assert caught.value.exit_code == 6
    assert f"cvae train --resume {run.folder}" in (caught.value.hint or "")


def test_a_run_broken_within_its_epochs_even_by_nan_ends_with_the_same_bits(
    training: Training, finished: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "_REPORT_INTERVAL", 0.0)  # after each step
    run = training.new_run(tmp_path / "run")
    with pytest.raises(ConnectionError):
        training.fit(run, Stopper(1, 1, plug=True))
    torch.rand(17)  # unrelated random numbers of this process

    witness = Witness(run)
    with monkeypatch.context() as patched:
        plant_nan(patched)
        with pytest.raises(DivergedError, match=r"finite.*epoch 2") as caught:
            training.fit(run, witness, resume=True)
    assert_told(caught, run)
    assert [kept(run)] == witness.kept
    assert_sound(CVAE.from_pretrained(run.folder))

    with pytest.raises(InterruptedRunError, match="after step 3;"):  # the picture has no NaN any more
        training.fit(run, Stopper(2, 1), resume=True)
    assert weights(run) != weights(finished)
    training.fit(run, resume=True)
    assert weights(run) == weights(finished)


def test_far_too_large_a_learning_rate_ends_the_training_and_can_be_lowered_and_the_seed_decides_the_weights(
    training: Training, finished: Run, tmp_path: Path
) -> None:
    run = training.new_run(tmp_path / "run", FAR_TOO_FAST | {"training.seed": 1})
    with pytest.raises(DivergedError) as caught:
        training.fit(run)
    assert_told(caught, run)
    after = training.fit(run, resume=True, changes=RATE).results[-1]
    assert after.epoch == 2
    assert after.validation_negative_elbo < 2 * last_bound(finished)
    assert_sound(CVAE.from_pretrained(run.folder))

    assert run.recipe({"training.seed": 0}) == finished.recipe()
    other, same_settings = weights(run), weights(finished)
    assert other["kept"] != same_settings["kept"]
    assert other["last"] != same_settings["last"]


def test_a_good_run_survives_far_too_large_a_learning_rate(training: Training, finished: Run, tmp_path: Path) -> None:
    run = Run(shutil.copytree(finished.folder, tmp_path / "run"))
    before = kept(run)
    with pytest.raises(DivergedError) as caught:
        training.fit(run, resume=True, changes=FAR_TOO_FAST | {"training.epochs": 5})
    assert_told(caught, run)
    assert kept(run) == before  # which is a sound model
    after = training.fit(run, resume=True, changes=CAREFUL | {"training.epochs": 3}).results[-1]
    assert after.epoch == 3
    assert after.validation_negative_elbo < 2 * last_bound(finished)
