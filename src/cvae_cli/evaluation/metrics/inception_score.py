"""The inception score of samples."""

from typing import Any

import torch

from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.metrics.feature_rows import FeatureRowsMetric

SPLITS, SEED = 10, 2020


class InceptionScore(FeatureRowsMetric):
    """How sure Inception is of the class of each sample, and how many classes it sees (Salimans et al. 2016)."""

    name = "inception-score"
    label = "inception-score"
    direction = "higher"
    is_default = False
    features = "inception"
    min_pictures = SPLITS
    depends_on_number = True
    needs_real = False

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._deviation: float | None = None

    @torch.no_grad()
    def compute(self) -> float | None:
        from torch_fidelity.metric_isc import KEY_METRIC_ISC_MEAN, KEY_METRIC_ISC_STD, isc_features_to_metric

        features = self.sets.generated.all
        logits = torch.cat(
            [self.extractor.network.logits(part.to(self.context.device)) for part in features.split(1000)]
        )
        result = isc_features_to_metric(logits.cpu(), splits=SPLITS, rng_seed=SEED)
        self._deviation = result[KEY_METRIC_ISC_STD]
        return result[KEY_METRIC_ISC_MEAN]

    def deviation(self) -> float | None:
        return self._deviation

    def details(self) -> dict[str, int | float]:
        assert self._deviation is not None
        return {f"{self.name} deviation over splits": self._deviation}

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        return {
            "inception-score": f"mean and standard deviation over {SPLITS} splits of the pictures in random order "
            f"(seed {SEED}), logits without biases; equals torch-fidelity"
        }
