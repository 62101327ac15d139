"""Bounds on -log p(x | c), and active latent units."""

import math
from pathlib import Path

import pytest
import torch
from helpers import data_for, fashion, other_arithmetic, small_model
from torch import Tensor

from cvae_cli import CVAE
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.measure import evaluate_model

CPU = torch.device("cpu")


def measure(model: CVAE, data: Dataset, metric: str, k: int = 64) -> float:
    """The score of one metric, as `cvae evaluate --metric METRIC --k K` has it."""
    score = evaluate_model(model, data, [metric], context=Context(CPU, Settings(k=k))).scores[metric]
    assert score is not None
    return score


def test_scores_of_the_bound_are_means_of_its_parts() -> None:
    names = ["rate", "distortion", "elbo", "bits-per-dim"]
    for variant, n, has_bits in (("map-add", 10, True), ("map-add", 1, True), ("map-concat", 10, False)):
        model, data = small_model(variant), fashion("test", n)
        bound = evaluate_bound(model, Batches(data, batch_size=4, device=CPU))
        rate, distortion = bound.rate.mean().item(), bound.distortion.mean().item()
        bits = (rate + distortion) / math.log(2) / 28**2 if has_bits else None
        scores = evaluate_model(model, data, names, context=Context(CPU)).scores
        assert scores["bits-per-dim"] == (bits and pytest.approx(bits, rel=1e-5))
        assert [scores[name] for name in names[:3]] == pytest.approx([rate, distortion, rate + distortion], rel=1e-5)


def test_other_rounding_errors_change_no_score() -> None:
    """Those of another device, say. A prior of the kind score has noise of its own, which must stay the same."""
    model, data = CVAE.from_pretrained("fashion"), fashion("test", 40)
    names = ["mse", "mae", "ssim", "psnr", "rate", "distortion", "elbo", "active-units"]
    scores = evaluate_model(model, data, names).scores
    with other_arithmetic():
        others = evaluate_model(model, data, names).scores
    assert others != scores
    assert others == pytest.approx(scores, rel=1e-5)


def test_more_samples_make_the_bound_tighter(run_folder: Path) -> None:
    model = CVAE.from_pretrained(run_folder)
    data = fashion("test", 50)
    bounds = [measure(model, data, "iwae", k) for k in (1, 8, 32)]
    assert bounds == sorted(bounds, reverse=True)
    batches = Batches(data, batch_size=64, device=CPU)
    assert bounds[0] == pytest.approx(evaluate_bound(model, batches).negative_elbo.mean().item(), abs=5)


def test_with_the_exact_posterior_every_bound_is_the_truth(monkeypatch: pytest.MonkeyPatch) -> None:
    """If q(z | x) is p(z | x), the weight of each sample is p(x). Here the decoder of the model ignores z."""
    model = small_model("article-none")
    data = fashion("test", 10)

    def encode(images: Tensor, condition: Tensor) -> tuple[Tensor, Tensor]:
        return torch.zeros(len(images), *model.latent_shape), torch.zeros(len(images), *model.latent_shape)

    def decode(z: Tensor, condition: Tensor) -> Tensor:
        return torch.full((len(z), 1, 28, 28), 0.5)

    monkeypatch.setattr(model.network, "encode", encode)
    monkeypatch.setattr(model.network, "decode", decode)
    bound = evaluate_bound(model, Batches(data, batch_size=4, device=CPU))
    assert bound.rate.abs().max() == 0
    assert measure(model, data, "iwae", 5) == pytest.approx(bound.distortion.mean().item(), rel=1e-5)
    assert measure(model, data, "active-units") == 0


def test_a_bound_on_the_prior_cannot_weigh_samples() -> None:
    model = small_model("map-score")
    data = data_for("map-score", 4)
    with pytest.raises(UsageError, match="has no density"):
        measure(model, data, "iwae", 2)
    batches = Batches(data, batch_size=4, device=CPU)
    assert math.isfinite(evaluate_bound(model, batches).negative_elbo.sum().item())


def test_active_units_are_those_that_tell_pictures_apart() -> None:
    model = CVAE.from_pretrained("fashion")
    data = fashion("test", 100)
    batches = Batches(data, batch_size=64, device=CPU)
    means = torch.cat([model.encode(*batch).flatten(1) for batch in batches.in_order()])
    units = measure(model, data, "active-units")
    assert units == int((means.var(0, unbiased=False) > 0.01).sum())
    assert 0 < units <= math.prod(model.latent_shape)
