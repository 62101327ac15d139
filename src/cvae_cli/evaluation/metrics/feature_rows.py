"""The features of all pictures of two sets, for metrics that compare single pictures."""

from functools import cached_property

from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import Extractor
from cvae_cli.evaluation.metrics.set_metric import SetMetric
from cvae_cli.evaluation.streams import PictureBatch
from cvae_cli.runtime.distributed import get_world


class FeatureRows:
    """The features of all pictures of one set, a row each, in the order of the pictures."""

    def __init__(self, extractor: Extractor) -> None:
        self._extractor = extractor
        self._parts: list[Tensor] = []
        self._last: PictureBatch | None = None

    def update(self, pictures: PictureBatch) -> None:
        """Add a batch; a second call with the same batch has no effect."""
        if pictures is not self._last:
            self._last = pictures
            self._parts.append(pictures.features(self._extractor).cpu())

    @cached_property
    def all(self) -> Float[Tensor, "n d"]:
        """The rows of all processes. `load` may have set them."""
        return get_world().gather_rows(self._parts)

    def load(self, rows: Float[Tensor, "n d"]) -> None:
        """Take these rows in place of the pictures."""
        self.all = rows


class FeatureSets:
    """The features of both sets, shared by the metrics that use the same extractor."""

    def __init__(self, extractor: Extractor) -> None:
        self.generated, self.real = FeatureRows(extractor), FeatureRows(extractor)


class FeatureRowsMetric(SetMetric):
    """A metric of the rows of features in `sets`; define `compute`."""

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self.sets = context.shared(FeatureSets, self.extractor)

    def update_generated(self, pictures: PictureBatch) -> None:
        self.sets.generated.update(pictures)

    def update_real(self, pictures: PictureBatch) -> None:
        self.sets.real.update(pictures)

    def real_state(self) -> dict[str, Tensor]:
        return {"features": self.sets.real.all}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        self.sets.real.load(state["features"])
