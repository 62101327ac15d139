"""Bounds on -log p(x | c), and active latent units."""

import math
from pathlib import Path

import pytest
import torch
from helpers import data_for, fashion, small_model
from torch import Tensor

from cvae_cli import CVAE
from cvae_cli.data.batches import Batches
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.bound import active_units, evaluate_bound, importance_weighted_bound

CPU = torch.device("cpu")


def test_more_samples_make_the_bound_tighter(run_folder: Path) -> None:
    model = CVAE.from_pretrained(run_folder)
    batches = Batches(fashion("test", 100), batch_size=64, device=CPU)
    bounds = [importance_weighted_bound(model, batches, k).mean().item() for k in (1, 8, 64)]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[0] == pytest.approx(evaluate_bound(model, batches).negative_elbo.mean().item(), abs=5)


def test_with_the_exact_posterior_every_bound_is_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """If q(z | x) is p(z | x), the weight of each sample is p(x). Here the decoder of the model ignores z."""
    model = small_model("article-none")
    batches = Batches(fashion("test", 10), batch_size=4, device=CPU)

    def encode(images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(images), 128), torch.zeros(len(images), 128)

    def decode(z: Tensor, condition: Tensor) -> Tensor:
        return torch.full((len(z), 1, 28, 28), 0.5)

    monkeypatch.setattr(model.network, "encode", encode)
    monkeypatch.setattr(model.network, "decode", decode)
    bound = evaluate_bound(model, batches)
    assert bound.rate.abs().max() == 0
    torch.testing.assert_close(importance_weighted_bound(model, batches, 5), bound.distortion, rtol=1e-5, atol=1e-3)
    assert active_units(model, batches) == 0


def test_a_bound_on_the_prior_cannot_weigh_samples() -> None:
    model = small_model("map-score")
    batches = Batches(data_for("map-score", 4), batch_size=4, device=CPU)
    with pytest.raises(UsageError, match="has no density"):
        importance_weighted_bound(model, batches, 2)
    assert math.isfinite(evaluate_bound(model, batches).negative_elbo.sum().item())


def test_active_units_are_those_that_tell_pictures_apart() -> None:
    model = CVAE.from_pretrained("fashion")
    batches = Batches(fashion("test", 100), batch_size=64, device=CPU)
    means = torch.cat([model.encode(*batch).flatten(1) for batch in batches.in_order()])
    assert active_units(model, batches) == int((means.var(0, unbiased=False) > 0.01).sum())
    assert 0 < active_units(model, batches) <= math.prod(model.latent_shape)
