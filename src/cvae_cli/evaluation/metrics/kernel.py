"""The kernel distance between the features of samples and of real pictures."""

from collections.abc import Iterator
from typing import Any

from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.metrics.feature_rows import FeatureRowsMetric

SUBSETS, SUBSET_SIZE, SEED = 100, 1000, 2020


class KID(FeatureRowsMetric):
    """The kernel distance on Inception features, a mean over subsets (Bińkowski et al. 2018)."""

    name = "kid"
    label = "kid"
    direction = "lower"
    is_default = False
    features = "inception"
    min_pictures = 2
    alternatives = ("kid:pictures",)

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deviation: float | None = None
        self._size = 0

    def compute(self) -> float | None:
        from torch_fidelity.metric_kid import KEY_METRIC_KID_MEAN, KEY_METRIC_KID_STD, kid_features_to_metric

        generated = self.sets.generated.all.double()  # the distance is a small difference of large sums
        real = self.sets.real.all.double()
        self._size = min(SUBSET_SIZE, len(generated), len(real))
        result = kid_features_to_metric(
            generated, real, kid_subsets=SUBSETS, kid_subset_size=self._size, rng_seed=SEED, verbose=False
        )
        self._deviation = result[KEY_METRIC_KID_STD]
        return result[KEY_METRIC_KID_MEAN]

    def deviation(self) -> float | None:
        return self._deviation

    def details(self) -> dict[str, int | float]:
        assert self._deviation is not None
        return {f"{self.name} deviation over subsets": self._deviation, f"{self.name} pictures a subset": self._size}

    @classmethod
    def set_warnings(cls, generated: int, real: int, context: Context) -> Iterator[str]:
        if (n := min(generated, real)) < SUBSET_SIZE:
            yield (
                f"{cls.name}: {n:,} pictures are fewer than the {SUBSET_SIZE:,} of a published subset: subsets have "
                f"{n:,}, and their deviation is too small"
            )

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {
            "kid": f"mean and standard deviation over {SUBSETS} subsets of {SUBSET_SIZE:,} pictures or of all if there "
            f"are fewer (seed {SEED}), polynomial kernel of degree 3, unbiased; equals torch-fidelity"
        }
