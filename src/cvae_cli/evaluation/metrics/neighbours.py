"""Metrics of fidelity and variety, from nearest neighbours among the features of samples and of real pictures."""

from functools import cached_property
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.features import SMALL
from cvae_cli.evaluation.metrics.feature_rows import FeatureRowsMetric, FeatureSets

PRECISION_K, DENSITY_K = 3, 5

_ROWS = 1000  # rows of a matrix of distances that are in memory at a time


class Neighbours:
    """The four scores of this module, from one pass over the distances between both sets."""

    def __init__(self, sets: FeatureSets) -> None:
        self._sets = sets

    @cached_property
    def scores(self) -> dict[str, float]:
        return neighbour_scores(self._sets.generated.all, self._sets.real.all)


class NeighbourMetric(FeatureRowsMetric):
    """A score of `neighbour_scores`."""

    direction = "higher"
    features = SMALL
    min_pictures = 2
    depends_on_number = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._neighbours = context.shared(Neighbours, self.sets)

    def compute(self) -> float | None:
        return self._neighbours.scores[self.name.partition(":")[0]]

    @classmethod
    def is_default_on(cls, dataset: str) -> bool:
        return (
            cls.is_default and dataset == "fashion-mnist"
        )  # of photographs, drawing the samples takes most of the time

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {
            "precision, recall": f"within the distance to the neighbour number {PRECISION_K}; equals torch-fidelity",
            "density, coverage": f"closer than the neighbour number {DENSITY_K}; equals prdc",
        }


class Precision(NeighbourMetric):
    """The share of samples within the neighbourhood of a real picture (Kynkäänniemi et al. 2019, k = 3)."""

    name = "precision"
    label = "precision"


class Recall(NeighbourMetric):
    """The share of real pictures within the neighbourhood of a sample (Kynkäänniemi et al. 2019, k = 3)."""

    name = "recall"
    label = "recall"


class Density(NeighbourMetric):
    """In how many neighbourhoods of real pictures a sample lies, divided by k (Naeem et al. 2020, k = 5)."""

    name = "density"
    label = "density"


class Coverage(NeighbourMetric):
    """The share of real pictures with a sample in their own neighbourhood (Naeem et al. 2020, k = 5)."""

    name = "coverage"
    label = "coverage"


def neighbour_scores(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> dict[str, float]:
    """Compute precision, recall, density and coverage from features.

    The neighbourhood of a row reaches as far as its k-th nearest row of the same set.
    """
    generated, real = generated.double(), real.double()  # distances of near neighbours are differences of large numbers
    of_generated, _ = radii(generated)
    of_real, of_real_narrowly = radii(real)
    precise = torch.zeros(len(generated), dtype=torch.bool)
    recalled = covered = within = 0
    for start in range(0, len(real), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = torch.cdist(real[rows], generated)  # (rows, n)
        precise |= (distances <= of_real[rows, None]).any(0)
        recalled += int((distances <= of_generated).any(1).sum())
        close = distances < of_real_narrowly[rows, None]
        within += int(close.sum())
        covered += int(close.any(1).sum())
    return {
        "precision": precise.double().mean().item(),
        "recall": recalled / len(real),
        "density": within / DENSITY_K / len(generated),
        "coverage": covered / len(real),
    }


def radii(features: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """The distances of each row to its other rows number `PRECISION_K` and `DENSITY_K`, or to the farthest of fewer."""
    most = min(DENSITY_K, len(features) - 1)
    parts = [torch.cdist(part, features).topk(most + 1, largest=False).values for part in features.split(_ROWS)]
    nearest = torch.cat(parts)  # in order; the first is the row itself
    return nearest[:, min(PRECISION_K, most)], nearest[:, most]
