"""Metrics of fidelity and variety, from nearest neighbours among the features of samples and of real pictures."""

from functools import cached_property

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.feature_rows import FeatureRowsMetric, FeatureSets

RECALL_K, COVERAGE_K = 3, 5

_ROWS = 1000  # rows of a matrix of distances that are in memory at a time


class Neighbours:
    """The scores of this module, from one pass over the distances between both sets."""

    def __init__(self, sets: FeatureSets) -> None:
        self._sets = sets

    @cached_property
    def recall_and_coverage(self) -> tuple[float, float]:
        return recall_and_coverage(self._sets.generated.all, self._sets.real.all)


class Recall(FeatureRowsMetric):
    """The share of real pictures within the neighbourhood of a sample (Kynkäänniemi et al. 2019, k = 3)."""

    name = "recall"
    label = "recall"
    direction = "higher"
    dataset = "fashion-mnist"
    features = "fashion"
    min_pictures = 2
    depends_on_number = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._neighbours = context.shared(Neighbours, self.sets)

    def compute(self) -> float | None:
        return self._neighbours.recall_and_coverage[0]


class Coverage(Recall):
    """The share of real pictures with a sample in their own neighbourhood (Naeem et al. 2020, k = 5)."""

    name = "coverage"
    label = "coverage"

    def compute(self) -> float | None:
        return self._neighbours.recall_and_coverage[1]


def recall_and_coverage(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> tuple[float, float]:
    """Compute recall and coverage from features.

    A row's neighbourhood reaches as far as its k-th nearest row of the same kind.
    """
    radius_of_generated, radius_of_real = radius(generated, RECALL_K), radius(real, COVERAGE_K)
    recalled = covered = 0
    for start in range(0, len(real), _ROWS):
        rows = slice(start, start + _ROWS)
        distances = torch.cdist(real[rows], generated)  # (rows, n)
        recalled += int((distances <= radius_of_generated).any(1).sum())
        covered += int((distances.amin(1) <= radius_of_real[rows]).sum())
    return recalled / len(real), covered / len(real)


def radius(features: Float[Tensor, "n d"], k: int) -> Float[Tensor, " n"]:
    """The distance of each row to its k-th nearest other row."""
    k = min(k, len(features) - 1)
    parts = [torch.cdist(part, features).kthvalue(k + 1, dim=1).values for part in features.split(_ROWS)]
    return torch.cat(parts)  # k + 1, because the nearest row is the row itself
