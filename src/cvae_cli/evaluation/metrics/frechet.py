"""Fréchet distances between the features of samples and of real pictures."""

from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.features import SMALL
from cvae_cli.evaluation.metrics.set_metric import SetMetric
from cvae_cli.evaluation.streams import PictureBatch
from cvae_cli.runtime.distributed import get_world

PICTURES_PER_FEATURE = 20
"""How many pictures a Fréchet distance needs for each feature, so that it is not much too high.

A distance of few pictures is too high, because their covariances are uncertain: docs/results.md has measurements. With
Inception's 2,048 features the number is 40,960, a little less than the 50,000 that publications use.
"""


class Frechet(SetMetric):
    """The Fréchet distance between Gaussians fitted to features; FID is that on Inception's."""

    name = "frechet"
    label = "frechet"
    direction = "lower"
    is_default = False
    features = SMALL
    min_pictures = 2
    depends_on_number = True

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        width = self.extractor.num_features
        self._generated, self._real = Moments(width, context.device), Moments(width, context.device)
        self._loaded: tuple[Tensor, Tensor] | None = None

    def update_generated(self, pictures: PictureBatch) -> None:
        self._generated.update(pictures.features(self.extractor))

    def update_real(self, pictures: PictureBatch) -> None:
        self._real.update(pictures.features(self.extractor))

    def real_state(self) -> dict[str, Tensor]:
        mean, covariance = self._loaded or self._real.compute()
        return {"mean": mean, "covariance": covariance}

    def load_real_state(self, state: dict[str, Tensor]) -> None:
        self._loaded = state["mean"], state["covariance"]

    def compute(self) -> float | None:
        real = self._loaded or self._real.compute()
        return distance_of_gaussians(*self._generated.compute(), *real)

    @classmethod
    def set_warnings(cls, generated: int, real: int, context: Context) -> Iterator[str]:
        assert cls.features is not None
        n, width = min(generated, real), context.extractor(cls.features).num_features
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


class FID(Frechet):
    """The Fréchet distance between Gaussians fitted to Inception features (Heusel et al. 2017)."""

    name = "fid"
    label = "fid"
    features = "inception"
    alternatives = ("fid-fashion", "frechet")


class FashionFID(Frechet):
    """The Fréchet distance on the features of the Fashion-MNIST classifier of this package. It is not FID."""

    name = "fid-fashion"
    label = "fid-fashion"
    dataset = "fashion-mnist"
    is_default = True
    features = "fashion"


class Moments:
    """Mean and covariance of vectors that come in batches: sums in float64."""

    def __init__(self, width: int, device: torch.device | None = None) -> None:
        self._count = 0
        self._sum = torch.zeros(width, dtype=torch.double, device=device)
        self._products = torch.zeros(width, width, dtype=torch.double, device=device)

    def update(self, features: Float[Tensor, "b d"]) -> None:
        rows = features.to(self._sum)
        self._count += len(rows)
        self._sum += rows.sum(0)
        self._products += rows.T @ rows

    def compute(self) -> tuple[Float[Tensor, " d"], Float[Tensor, "d d"]]:
        """Return the mean and the covariance of the vectors of all processes, float64 on the CPU."""
        world = get_world()
        n = sum(world.all_gather(self._count))
        mean = world.all_reduce(self._sum).cpu() / n
        products = world.all_reduce(self._products).cpu()
        return mean, (products - n * mean.outer(mean)) / (n - 1)


def distance_of_gaussians(
    mean: Float[Tensor, " d"],
    covariance: Float[Tensor, "d d"],
    other_mean: Float[Tensor, " d"],
    other_covariance: Float[Tensor, "d d"],
) -> float:
    """The Fréchet distance between two Gaussians, in float64 (Dowson & Landau 1982).

    The trace of the root of a product is taken of a symmetric matrix with the same eigenvalues, within the directions
    in which the first Gaussian varies at all: few pictures vary in few. That takes half the time of the product itself.
    """
    values, vectors = torch.linalg.eigh(covariance)
    varied = values > values[-1] * len(values) * torch.finfo(values.dtype).eps
    root = vectors[:, varied] * values[varied].sqrt()  # (d, directions)
    common = torch.linalg.eigvalsh(root.T @ other_covariance @ root).clamp(min=0).sqrt().sum()
    squared = (mean - other_mean).square().sum()
    return (squared + covariance.trace() + other_covariance.trace() - 2 * common).item()


def frechet_distance(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"]) -> float:
    """The distance between Gaussians fitted to features, both of which fit in memory."""
    sides = [Moments(real.shape[1]), Moments(real.shape[1])]
    for side, features in zip(sides, (generated, real), strict=True):
        side.update(features)
    return distance_of_gaussians(*sides[0].compute(), *sides[1].compute())
