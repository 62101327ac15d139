"""Fitting a prior to a finished model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SCORE, VARIANTS, data_for, small_model
from test_fit import CPU, Recorder, weights

from cvae_cli import CVAE
from cvae_cli.config.recipe import Recipe
from cvae_cli.config.recipe_files import load_recipe, recipe_for_prior
from cvae_cli.errors import DivergedError, UsageError
from cvae_cli.models.tensors import named_tensors
from cvae_cli.runtime.distributed import get_world
from cvae_cli.training.checkpoint import TrainerState
from cvae_cli.training.epoch_losses import EpochLosses
from cvae_cli.training.fit import fit
from cvae_cli.training.objectives.latent_batches import LatentBatches
from cvae_cli.training.objectives.prior import PriorObjective
from cvae_cli.training.run import Run

SHORT = {"training.epochs": 2, "training.batch_size": 16, "data.flip": True}


def finished(folder: Path, variant: str) -> CVAE:
    run = Run(folder / variant)
    recipe = load_recipe("fashion-concat", SHORT | VARIANTS[variant] | {"training.epochs": 1})
    run.create(recipe, force=False)
    fit(run, recipe, data_for(variant, 32), data_for(variant, 8), device=CPU, resume=False, callback=Recorder())
    return CVAE.from_pretrained(run.folder)


def second(folder: Path, model: CVAE, variant: str, prior: dict[str, Any]) -> tuple[Run, Recipe]:
    changes = SHORT | {f"architecture.prior.{key}": value for key, value in prior.items()}
    start = str(folder / variant / "model")
    recipe = recipe_for_prior(start, model.config, str(prior["kind"]), changes | {"training.ema_decay": 0.9})
    run = Run(folder / "second")
    run.create(recipe, force=True)
    return run, recipe


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
    data = data_for(variant, 32), data_for(variant, 8)
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
    with pytest.raises(UsageError, match="is built otherwise than the recipe says"):
        fit(
            run,
            recipe.model_copy(update={"architecture": architecture}),
            data_for("map-modulate", 64),
            data_for("map-modulate", 16),
            device=CPU,
            resume=False,
            callback=Recorder(),
        )


def test_a_score_prior_is_not_learned_with_the_rest(tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    recipe = load_recipe("fashion-concat", VARIANTS["map-score"])
    run.create(recipe, force=False)
    data = data_for("map-score", 64), data_for("map-score", 16)
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
    as_they_are = sum((seen - each).abs().amax((1, 2, 3)).min() < 1e-3 for each in plain.half().float())
    assert 0 < as_they_are < 20
    nearest = torch.cdist(seen.flatten(1), torch.cat([plain, mirrored]).flatten(1)).amin(1)
    assert nearest.max() < 0.05


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
