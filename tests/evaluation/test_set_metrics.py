"""Metrics of two sets of pictures, without a model: any numbers on both sides, and a real side that is stored."""

import pytest
import torch
from helpers import fashion, other_arithmetic
from torch import Tensor

from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.catalog import METRICS, find_metric
from cvae_cli.evaluation.metrics.set_metric import SetMetric
from cvae_cli.evaluation.streams import PictureBatch

CPU = torch.device("cpu")
OFFLINE = ["fid-fashion", "frechet:pictures", "kid:fashion", "precision", "recall", "density", "coverage"]


def pictures(split: str, n: int) -> Tensor:
    return torch.from_numpy(fashion(split, n).images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def score(names: list[str], generated: Tensor, real: Tensor | dict[str, dict[str, Tensor]], batch: int = 25) -> dict:
    """The scores of two sets of pictures; the real side may be what is stored of it."""
    context = Context(CPU, dataset="fashion-mnist")
    metrics = [find_metric(name)(context) for name in names]
    for part in map(PictureBatch, generated.split(batch)):
        for metric in metrics:
            metric.update_generated(part)
    for part in map(PictureBatch, real.split(batch) if isinstance(real, Tensor) else []):
        for metric in metrics:
            metric.update_real(part)
    if not isinstance(real, Tensor):
        for metric in metrics:
            metric.load_real_state(real[metric.name])
    return {metric.name: (metric.compute(), metric.real_state()) for metric in metrics}


def test_sides_may_have_different_numbers_and_the_real_one_can_be_stored() -> None:
    generated, real = pictures("train", 60), pictures("test", 40)
    scores = score(OFFLINE, generated, real)
    stored = score(OFFLINE, generated, {name: state for name, (_, state) in scores.items()})
    in_one_batch = score(OFFLINE, generated, real, batch=1000)
    for name, (value, _) in scores.items():
        assert stored[name][0] == pytest.approx(value, rel=1e-9), name
        assert in_one_batch[name][0] == pytest.approx(value, rel=1e-5), name
    swapped = score(["fid-fashion", "recall"], real, generated)
    assert swapped["fid-fashion"][0] == pytest.approx(scores["fid-fashion"][0], rel=1e-6)
    assert swapped["recall"][0] != scores["recall"][0]


def test_other_rounding_errors_change_no_score() -> None:
    """Those of another device, say. Here the features are computed without oneDNN."""
    generated, real = pictures("train", 100), pictures("test", 100)
    scores = score(OFFLINE, generated, real)
    with other_arithmetic():
        others = score(OFFLINE, generated, real)
    features = [states["kid:fashion"][1]["features"] for states in (scores, others)]
    assert not torch.equal(*features)
    assert abs(scores["kid:fashion"][0]) < 1e-2  # a small difference of large sums
    for name, (value, _) in scores.items():
        assert others[name][0] == pytest.approx(value, rel=1e-5), name


def test_every_metric_of_two_sets_stores_its_real_side() -> None:
    stored = [name for name in METRICS if issubclass(find_metric(name), SetMetric)]
    assert {name.partition(":")[0] for name in OFFLINE} < set(stored)
