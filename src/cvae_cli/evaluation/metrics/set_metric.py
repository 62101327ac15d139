"""Metrics of two sets of pictures: they need no model and no captions."""

from abc import abstractmethod
from collections.abc import Iterator
from typing import ClassVar

from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import SIZES, SMALL, small_features
from cvae_cli.evaluation.metrics.metric import SampleMetric
from cvae_cli.evaluation.streams import PictureBatch, SampleBatch
from cvae_cli.models.cvae import CVAE


class SetMetric(SampleMetric):
    """Compares the features of generated pictures with those of real ones, or judges them alone.

    The sides are fed separately, may have different numbers, and are fed in the order of the pictures. What is known of
    the real side can be stored (`real_state`) and read again in place of the pictures.

    Attributes:
        needs_real: whether generated pictures are compared with real ones.
    """

    needs_real: ClassVar[bool] = True

    @classmethod
    def on(cls, features: str) -> "type[SetMetric]":
        """Return the metric on other features: its name and label are `METRIC:FEATURES`."""
        name = f"{cls.name}:{features}"
        return type(cls.__name__, (cls,), {"name": name, "label": name, "features": features})

    @classmethod
    def check(cls, model: CVAE, dataset: str) -> None:
        super().check(model, dataset)
        features = small_features(dataset) if cls.features == SMALL else cls.features
        size = SIZES.get(features or "")
        if size not in {None, ours := model.config.image.size}:
            raise UsageError(f"the features {features} are of pictures of {size}x{size}, not of {ours}x{ours}")

    @abstractmethod
    def update_generated(self, pictures: PictureBatch) -> None:
        """Add generated pictures."""

    @abstractmethod
    def update_real(self, pictures: PictureBatch) -> None:
        """Add real pictures."""

    def update(self, batch: SampleBatch) -> None:
        self.update_generated(batch.generated)
        if self.needs_real:
            self.update_real(batch.real)

    @abstractmethod
    def real_state(self) -> dict[str, Tensor]:
        """Return what the score needs of the real pictures of all processes, on the CPU.

        Metrics with the same features return the same tensor under the same name.
        """

    @abstractmethod
    def load_real_state(self, state: dict[str, Tensor]) -> None:
        """Take what `real_state` returned in place of real pictures. Every process takes the same."""

    @classmethod
    def set_warnings(cls, generated: int, real: int, context: Context) -> Iterator[str]:
        """Yield sentences about why a score of sets of these numbers may mislead."""
        yield from ()

    @classmethod
    def warnings(cls, model: CVAE, dataset: Dataset, context: Context) -> Iterator[str]:
        yield from cls.set_warnings(len(dataset), len(dataset), context)
