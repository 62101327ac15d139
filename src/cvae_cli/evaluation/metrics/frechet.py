"""Fréchet distances between the features of samples and of real pictures."""

from collections.abc import Iterator
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.metric import SampleMetric
from cvae_cli.evaluation.streams import SampleBatch
from cvae_cli.models.cvae import CVAE

PICTURES_PER_FEATURE = 20
"""How many pictures a Fréchet distance needs for each feature, so that it is not much too high.

A distance of few pictures is too high, because their covariances are uncertain: docs/results.md has measurements. With
Inception's 2,048 features the number is 40,960, a little less than the 50,000 that publications use.
"""


class FID(SampleMetric):
    """The Fréchet distance between Gaussians fitted to Inception features (Heusel et al. 2017)."""

    name = "fid"
    label = "fid"
    direction = "lower"
    is_default = False
    features = "inception"
    min_pictures = 2
    depends_on_number = True
    alternative = "fid-fashion"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._distance = _make_distance(self.extractor.num_features).to(context.device)

    def update(self, batch: SampleBatch) -> None:
        self._distance.update(batch.real_features(self.extractor), real=True)
        self._distance.update(batch.generated_features(self.extractor), real=False)

    def compute(self) -> float | None:
        return self._distance.compute().item()  # torchmetrics adds up the sums of all processes

    @classmethod
    def warnings(cls, model: CVAE, dataset: Dataset, context: Context) -> Iterator[str]:
        assert cls.features is not None
        n, width = len(dataset), context.extractor(cls.features).num_features
        needed = PICTURES_PER_FEATURE * width
        if n <= width:
            yield (
                f"{cls.name}: fewer pictures ({n:,}) than features ({width:,}): the distance means little; "
                f"it needs {needed:,} pictures"
            )
        elif n < needed:
            yield (
                f"{cls.name} of {n:,} pictures is higher than of more: its {width:,} features need {needed:,}; "
                f"compare it only with other distances of {n:,}"
            )


class FashionFID(FID):
    """The Fréchet distance on the features of the Fashion-MNIST classifier of this package. It is not FID."""

    name = "fid-fashion"
    label = "fid-fashion"
    dataset = "fashion-mnist"
    is_default = True
    features = "fashion"


def frechet_distance(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> float:
    """The distance between Gaussians fitted to features, both of which fit in memory."""
    distance = _make_distance(real.shape[1])
    distance.update(real, real=True)
    distance.update(generated, real=False)
    return distance.compute().item()


def _make_distance(num_features: int) -> Any:
    """torchmetrics' distance, with sums in float64; its `update` is given features instead of pictures."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    network = nn.Identity()
    network.num_features = num_features  # type: ignore[assignment]
    return FrechetInceptionDistance(feature=network)
