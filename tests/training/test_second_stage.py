"""Fitting a prior to a finished model."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SCORE, VARIANTS, captioned, data_for, small_model
from test_fit import CPU, Recorder, weights

from cvae_cli import CVAE
from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe, recipe_for_prior
from cvae_cli.data.batches import Batches
from cvae_cli.data.windows import Windows
from cvae_cli.errors import DivergedError, UsageError
from cvae_cli.models.tensors import named_tensors
from cvae_cli.runtime.distributed import get_world
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.epoch_losses import EpochLosses
from cvae_cli.training.fit import fit
from cvae_cli.training.objectives.latent_batches import LatentBatches
from cvae_cli.training.objectives.prior import PriorObjective
from cvae_cli.training.run import Run

SHORT = {"training.epochs": 2, "training.batch_size": 8, "data.flip": True}


def finished(folder: Path, variant: str) -> CVAE:
    model = small_model(variant)
    model.save_pretrained(folder / variant / "model")
    return model


def second(folder: Path, model: CVAE, variant: str, prior: dict[str, Any]) -> tuple[Run, Recipe]:
    changes = SHORT | {f"architecture.prior.{key}": value for key, value in prior.items()}
    start = str(folder / variant / "model")
    recipe = recipe_for_prior(start, model.config, str(prior["kind"]), changes | {"training.ema_decay": 0.9})
    run = Run(folder / "second")
    run.create(recipe, force=True)
    return run, recipe


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize(
    ("variant", "prior"),
    [
        ("map-modulate", SCORE["architecture.prior"]),
        ("photo-concat", SCORE["architecture.prior"]),
        ("article-concat", {"kind": "flow", "layers": 2, "width": 16}),
    ],
)
def test_only_the_prior_is_learned_and_a_broken_run_goes_on(
    tmp_path: Path, variant: str, prior: dict[str, Any]
) -> None:
    before = finished(tmp_path, variant)
    data = data_for(variant, 16), data_for(variant, 4)
    run, recipe = second(tmp_path, before, variant, prior)
    fit(run, recipe, *data, device=CPU, resume=False, callback=Recorder())
    whole = weights(run)
    after = CVAE.from_pretrained(run.folder)
    assert after.config.architecture.prior.kind == prior["kind"]
    for part in ("network", "likelihood"):
        ours, theirs = (named_tensors(getattr(each, part)).values() for each in (before, after))
        pairs = zip(ours, theirs, strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
    run, recipe = second(tmp_path, before, variant, prior)
    with pytest.raises(ConnectionError):
        fit(run, recipe, *data, device=CPU, resume=False, callback=Recorder(stop_after=1))
    fit(run, recipe, *data, device=CPU, resume=True, callback=Recorder())
    assert weights(run) == whole


def test_a_recipe_of_another_network_is_refused(tmp_path: Path) -> None:
    model = finished(tmp_path, "map-modulate")
    run, recipe = second(tmp_path, model, "map-modulate", SCORE["architecture.prior"])
    architecture = recipe.architecture.model_copy(update={"conditioning": "add"})
    with pytest.raises(UsageError, match="is built differently from what the recipe says"):
        fit(
            run,
            recipe.model_copy(update={"architecture": architecture}),
            data_for("map-modulate", 8),
            data_for("map-modulate", 4),
            device=CPU,
            resume=False,
            callback=Recorder(),
        )


def test_a_score_prior_is_not_learned_with_the_rest(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    recipe = load_recipe("fashion-concat", VARIANTS["map-score"])
    run.create(recipe, force=False)
    data = data_for("map-score", 8), data_for("map-score", 4)
    with pytest.raises(UsageError, match="a score prior is fitted to a finished model"):
        fit(run, recipe, *data, device=CPU, resume=False, callback=Recorder())


def test_latents_are_those_of_the_pictures_and_of_their_mirror_images(tmp_path: Path) -> None:
    model = finished(tmp_path, "map-modulate")
    data = data_for("map-modulate", 20)
    settings = {"batch_size": 8, "device": CPU, "seed": 3}
    served = LatentBatches(model, data, flip=True, **settings)
    pictures = torch.from_numpy(data.images).permute(0, 3, 1, 2) / 255
    condition = torch.from_numpy(data.conditions.values(np.arange(20)))
    with torch.no_grad():
        plain, mirrored = (model.posterior(each, condition).mean for each in (pictures, pictures.flip(3)))
    means = torch.cat([moments[:, 0] for moments, _ in served.in_order()])
    torch.testing.assert_close(means, plain, atol=5e-3, rtol=5e-3)
    seen = torch.cat([moments[:, 0] for moments, _ in served.epoch(0)])
    distances = torch.cdist(seen.flatten(1), torch.cat([plain, mirrored]).flatten(1))
    assert distances.amin(1).max() < 0.05
    is_mirrored = distances.argmin(1) >= 20
    assert 0 < is_mirrored.sum() < 20


def test_latents_are_encoded_in_evaluation_mode() -> None:
    model, data = small_model("photo-concat"), data_for("photo-concat", 8)  # has batch normalisation
    ((pictures, condition),) = Batches(data, batch_size=8, device=CPU).in_order()
    with torch.no_grad():
        wanted = model.posterior(pictures, condition)
    ((moments, _),) = LatentBatches(model.train(), data, batch_size=8, device=CPU).in_order()
    torch.testing.assert_close(moments[:, 0], wanted.mean, atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(moments[:, 1], wanted.stddev, atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("flip", [False, True])
def test_half_of_the_windows_are_mirrored_where_pictures_are(monkeypatch: pytest.MonkeyPatch, flip: bool) -> None:
    encoded: list[tuple[int, float, float]] = []

    def encode(self: Any, view: int, model: CVAE, mirrored: np.ndarray, windows: Windows | None, _: Any) -> None:
        encoded.append((view, mirrored.mean(), 0.0 if windows is None else (windows.side > 0).mean()))

    monkeypatch.setattr(LatentBatches, "_encode_all", encode)
    data = replace(captioned(40), larger=captioned(40, size=32))
    model = small_model("captioned-map-score")
    batches = LatentBatches(model, data, flip=flip, windows=True, batch_size=8, device=CPU)
    whole = [(0, 0, 0), (1, 1, 0)][: 1 + flip]
    assert encoded[: len(whole)] == whole
    views, mirrored, shown = zip(*encoded[len(whole) :], strict=True)
    assert views == tuple(range(len(whole), len(whole) + 8))
    assert np.mean(mirrored) == pytest.approx(0.5 * flip, abs=0.1 * flip)
    assert set(shown) == {1}

    batches._moments[:] = torch.arange(len(batches._moments)).view(-1, 1, 1, 1, 1, 1)
    windows = Windows(np.array([0, 10, 10, 0]), np.zeros(4, int), np.array([0, 9, 16, 0]))
    served = batches._pictures(np.arange(4), np.array([flip, False, False, False]), windows)
    first = len(whole)
    assert served[:, 0, 0, 0, 0].tolist() == [int(flip), first + 1, first + 0, 0]


def test_photographs_unlike_those_of_the_start_are_no_divergence_of_its_prior(tmp_path: Path) -> None:
    """Their -ELBO is in nats and may be large; the prior's own loss is a squared error."""
    objective = PriorObjective(small_model("map-score"))
    state = TrainerState()
    losses = EpochLosses(
        Run(tmp_path), objective, state, learning_rate=1e-9, batch_size=1, device=CPU, world=get_world()
    )
    losses.check_bound(20_000.0)
    for check, loss in ((losses.check, 20_000.0), (losses.check_bound, 1e9), (losses.check_bound, float("nan"))):
        with pytest.raises(DivergedError, match=r"has exploded to|is no longer a finite number"):
            check(loss)
