"""Training with the bound and a discriminator."""

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SCORE, VARIANTS, data_for, small_model
from test_fit import CPU, Recorder, data, start, weights

from cvae_cli import CVAE
from cvae_cli.config.recipe import TrainingSettings
from cvae_cli.config.recipe_files import load_recipe, recipe_for_prior
from cvae_cli.errors import UsageError
from cvae_cli.models.pretrained import read_config
from cvae_cli.training.build import build_objective
from cvae_cli.training.fit import fit
from cvae_cli.training.objectives.hybrid import HybridObjective

TERMS = {"training.perceptual": 1.0, "training.adversarial": 0.1}


@pytest.mark.usefixtures("no_grids")
@pytest.mark.parametrize("variant", ["article-concat", "map-modulate", "photo-add"])
def test_a_broken_run_goes_on_to_the_same_bits(tmp_path: Path, variant: str) -> None:
    changes = {**TERMS, "training.epochs": 2}
    whole = start(tmp_path / "whole", changes, variant)
    recorder = Recorder()
    fit(whole, whole.recipe(), *data(variant), device=CPU, resume=False, callback=recorder)
    assert list(recorder.results[-1].losses) == ["rate", "distortion", "perceptual", "adversarial"]
    broken = start(tmp_path / "broken", changes, variant)
    with pytest.raises(ConnectionError):
        fit(broken, broken.recipe(), *data(variant), device=CPU, resume=False, callback=Recorder(stop_after=1))
    fit(broken, broken.recipe(), *data(variant), device=CPU, resume=True, callback=Recorder())
    assert weights(broken) == weights(whole)


def objective(**settings: Any) -> tuple[HybridObjective, torch.Tensor, torch.Tensor]:
    torch.manual_seed(0)
    model = small_model("map-modulate").train()
    chosen = TrainingSettings(epochs=1, **settings)
    pixels = data_for("map-modulate", 8)
    images = torch.from_numpy(pixels.images).permute(0, 3, 1, 2) / 255
    return HybridObjective(model, chosen), images, torch.from_numpy(pixels.conditions.values(pixels.rows))


def test_the_discriminator_learns_to_tell_pictures_from_reconstructions() -> None:
    hybrid, images, condition = objective(adversarial=1.0)
    for _ in range(20):
        hybrid.losses(images, condition)  # the model itself is not trained here
    with torch.no_grad():
        real, _ = hybrid.discriminator(images)
        rebuilt, _ = hybrid.discriminator(hybrid.model.reconstruct(images, condition))
    assert real.mean() > rebuilt.mean() + 0.5


def test_terms_teach_the_model_and_not_the_discriminator() -> None:
    hybrid, images, condition = objective(perceptual=1.0, adversarial=1.0)
    losses = hybrid.losses(images, condition)
    hybrid.optimizer.zero_grad(set_to_none=True)
    losses[:, 2:].sum().backward()
    assert all(each.grad is None for each in hybrid.discriminator.parameters())
    assert any(each.grad is not None and each.grad.any() for each in hybrid.model.parameters())


def test_processes_share_the_gradient_of_the_discriminator(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = []

    class World:
        def all_reduce_mean_(self, tensors: Any) -> None:
            for each in tensors:
                shared.append(each.clone())
                each.zero_()  # as if another process had the opposite

    monkeypatch.setattr("cvae_cli.training.objectives.hybrid.get_world", World)
    hybrid, images, condition = objective(adversarial=1.0)
    before = [each.detach().clone() for each in hybrid.discriminator.parameters()]
    hybrid.losses(images, condition)
    assert [each.shape for each in shared] == [each.shape for each in before]
    assert sum(bool(each.any()) for each in shared) > 4
    assert all(torch.equal(*each) for each in zip(before, hybrid.discriminator.parameters(), strict=True))


def test_weights_of_the_terms_count() -> None:
    hybrid, images, condition = objective(perceptual=2.0, adversarial=0.5)
    assert hybrid.losses(images[:1], condition[:1]).shape == (1, 4)  # the last batch may have a single picture
    losses = torch.tensor([[1.0, 10.0, 100.0, 1000.0]])
    assert hybrid.total(losses, beta=3.0).tolist() == [3 * 1 + 10 + 2 * 100 + 0.5 * 1000]


@pytest.mark.usefixtures("no_grids")
def test_a_hybrid_says_so_and_stays_one_with_another_prior(tmp_path: Path) -> None:
    first = start(tmp_path / "first", {**TERMS, "training.epochs": 1}, "map-modulate")
    fit(first, first.recipe(), *data("map-modulate"), device=CPU, resume=False, callback=Recorder())
    model = CVAE.from_pretrained(first.folder)
    assert model.config.hybrid
    assert "hybrid: the bound and a discriminator (perceptual 1, adversarial 0.1)" in card(first.kept_model)
    prior = {f"architecture.prior.{key}": value for key, value in SCORE["architecture.prior"].items()}
    recipe = recipe_for_prior(str(first.kept_model), model.config, "score", {**prior, "training.epochs": 1})
    second = start(tmp_path / "second", {}, "map-modulate")
    fit(second, recipe, *data("map-modulate"), device=CPU, resume=False, callback=Recorder())
    assert read_config(second.kept_model).hybrid
    assert "hybrid" in card(second.kept_model)


@pytest.mark.usefixtures("no_grids")
def test_a_pure_model_says_that(tmp_path: Path) -> None:
    run = start(tmp_path / "run", {"training.epochs": 1})
    fit(run, run.recipe(), *data(), device=CPU, resume=False, callback=Recorder())
    assert not read_config(run.kept_model).hybrid
    assert "| learned by | the bound alone |" in card(run.kept_model)


def test_a_prior_alone_cannot_be_a_hybrid() -> None:
    recipe = load_recipe("fashion-concat", {**VARIANTS["map-score"], **TERMS, "start": "somewhere"})
    with pytest.raises(UsageError, match="no pictures"):
        build_objective(recipe, small_model("map-score"))


def card(folder: Path) -> str:
    return (folder / "README.md").read_text()
