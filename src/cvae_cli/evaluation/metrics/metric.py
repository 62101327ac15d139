"""What a metric is."""

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar, Generic, Literal, TypeVar

from jaxtyping import Float
from torch import Tensor

from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.bound import BoundBatch
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.features import SMALL, Extractor
from cvae_cli.evaluation.result import ModelScores
from cvae_cli.evaluation.streams import ReconstructionBatch, SampleBatch
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.distributed import get_world

B = TypeVar("B")


class Metric(ABC, Generic[B]):
    """A score of a model. An instance measures one model: `update` with each batch of the stream, then `compute`.

    To add a metric, subclass one of the classes below and add a line to `catalog.METRICS`.

    Attributes:
        name: the name for `--metric`.
        label: the name in a table, with the unit.
        direction: which values are better; None if neither.
        stream: which batches it is computed from, a name of `streams.STREAMS`.
        dataset: the only data set that it is defined for, if there is only one.
        is_default: whether it is computed unless other metrics are asked for. Metrics that need a download are not.
        features: the feature extractor that it needs, see `features.load_extractor`, or `features.SMALL`.
        min_pictures: how many pictures it needs at least.
        min_size: how many pixels a side the pictures must have at least.
        alternatives: metrics that measure something similar and need no download, the best one first.
        depends_on_number: whether fewer pictures give another score on average, and not only a less certain one.
        note: a sentence about models for which the score has no meaning.
    """

    name: ClassVar[str]
    label: ClassVar[str]
    direction: ClassVar[Literal["lower", "higher"] | None]
    stream: ClassVar[str]
    dataset: ClassVar[str | None] = None
    is_default: ClassVar[bool] = True
    features: ClassVar[str | None] = None
    min_pictures: ClassVar[int] = 1
    min_size: ClassVar[int] = 1
    alternatives: ClassVar[tuple[str, ...]] = ()
    depends_on_number: ClassVar[bool] = False
    note: ClassVar[str] = ""

    def __init__(self, context: Context) -> None:
        self.context = context

    @classmethod
    def heading(cls, pictures: int, features: str | None = None) -> str:
        """Return the name in a table for scores of this many pictures, and on these features."""
        label = f"{cls.label} on {features}" if cls.features == SMALL and features else cls.label
        return f"{label}, {pictures:,} samples" if cls.depends_on_number else label

    @classmethod
    def is_default_on(cls, dataset: str) -> bool:
        """Whether the metric is computed on a data set unless other metrics are asked for."""
        return cls.is_default and cls.dataset in {None, dataset}

    @abstractmethod
    def update(self, batch: B) -> None:
        """Add a batch."""

    @abstractmethod
    def compute(self) -> float | None:
        """Return the score over the batches of all processes; None if it has no meaning for this model."""

    def deviation(self) -> float | None:
        """Return the standard deviation that belongs to the score, if the metric has one. Called after `compute`."""
        return None

    def details(self) -> dict[str, int | float]:
        """Return other numbers that belong to the score, by name. Called after `compute`."""
        return {}

    @classmethod
    def check(cls, model: CVAE, dataset: str) -> None:
        """Raise a UsageError if the metric is not defined for a model, or for the pictures of a data set.

        Called before anything large is loaded.
        """
        if cls.dataset not in {None, dataset}:
            raise UsageError(f'"{cls.name}" is defined for pictures of {cls.dataset} only, not of {dataset}')
        if (size := model.config.image.size) < cls.min_size:
            raise UsageError(f'"{cls.name}" needs pictures of at least {cls.min_size} pixels a side, not of {size}')

    @classmethod
    def is_meaningful(cls, model: CVAE) -> bool:
        """Whether the metric says anything about a model. By default models are not measured by one that does not."""
        return model.config.image.size >= cls.min_size

    @classmethod
    def warnings(cls, model: CVAE, dataset: Dataset, context: Context) -> Iterator[str]:
        """Yield sentences about why a score may mislead. Called before the model is measured."""
        yield from ()

    @classmethod
    def protocol(cls, settings: Settings) -> dict[str, Any]:
        """Return what the score depends on, as entries of the protocol."""
        return {}

    @classmethod
    def is_comparable(cls, one: ModelScores, other: ModelScores) -> bool:
        """Whether the scores of two models can be compared."""
        return True


class PictureMean(Metric[B]):
    """A metric that is the mean over all pictures of one value for each."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._values: list[Tensor] = []

    @abstractmethod
    def values(self, batch: B) -> Float[Tensor, " b"]:
        """Compute the value of each picture."""

    def update(self, batch: B) -> None:
        self._values.append(self.values(batch))

    def compute(self) -> float | None:
        return get_world().gather_rows(self._values).double().mean().item()


class ReconstructionMetric(PictureMean[ReconstructionBatch]):
    """Compares each picture with its reconstruction; define `values`."""

    stream = "reconstructions"


class BoundMetric(PictureMean[BoundBatch]):
    """A quantity of the variational bound of each picture; define `values`."""

    stream = "bound"


class SampleMetric(Metric[SampleBatch]):
    """Compares the features of samples with what was asked for, or with those of real pictures.

    Define `features`, `update` and `compute`, and get vectors from `batch.generated.features(self.extractor)`. A metric
    that needs nothing but two sets of pictures is a `set_metric.SetMetric`.
    """

    stream = "samples"
    extractor: Extractor

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        assert self.features is not None
        self.extractor = context.extractor(self.features)
