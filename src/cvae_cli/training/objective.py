"""What a training minimises: the bound of a whole model, or how badly a prior fits a finished one."""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE, Bound
from cvae_cli.models.network import Latents
from cvae_cli.models.standard_normal import StandardNormal
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.training.latents import LatentBatches

_CALIBRATION = 64  # batches whose latents tell a prior their scale
_MOST = 5000.0
"""Nats for each number of a picture or of a latent, or the squared error of a velocity: a healthy training begins below
5, and one that was briefly too fast has come back from 2,500."""


class Objective(ABC):
    """Losses of a batch.

    Attributes:
        names: what they are.
        most: a loss beyond which training has exploded, whatever comes back from there.
        draw: where the random numbers of a step come from.
    """

    names: tuple[str, ...]
    most: float
    random = BatchRandom()

    def __init__(self, model: CVAE) -> None:
        self.model = model

    @abstractmethod
    def parameters(self) -> Iterable[nn.Parameter]:
        """What is learned."""

    @abstractmethod
    def train_mode(self) -> None:
        """Put what is learned into training mode, and the rest into that of use."""

    def batches(self, dataset: Dataset, **settings: Any) -> Batches:
        """What `losses` takes, in batches (see `Batches` for the settings)."""
        return Batches(dataset, **settings)

    @abstractmethod
    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        """The losses of each image, in the order of `names`."""

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        """What is minimised.

        Args:
            beta: the weight of the rate, where there is one.
        """
        return losses.sum(1)

    @torch.no_grad()
    def now(self, images: Tensor, condition: Condition) -> float:
        """The loss of a batch with the weights as they are; nothing learns or takes note of it."""
        self.model.eval()
        loss = self.total(self._measured(images, condition), beta=1.0).mean().item()
        self.train_mode()
        return loss

    def _measured(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        """Losses by which the model alone can be judged."""
        return self.losses(images, condition)

    def prepare(self, batches: Batches) -> None:  # noqa: B027, most have nothing to prepare
        """Called once, before the first step."""

    def state(self) -> dict[str, Tensor]:
        """What going on needs besides the model."""
        return {}

    def load_state(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027, most have no state
        """Take back what `state` gave.

        Raises:
            KeyError, RuntimeError, ValueError: it is of something else.
        """


class WholeModel(Objective):
    """-ELBO, with a weight on the rate.

    Args:
        free_bits: nats that each number of the latent may cost for nothing.

    Raises:
        UsageError: free bits without the standard prior, which alone knows what each number costs; a prior that is
            fitted afterwards.
    """

    names: tuple[str, ...] = ("rate", "distortion")

    def __init__(self, model: CVAE, free_bits: float = 0.0) -> None:
        super().__init__(model)
        shape = model.config.image
        self.most = _MOST * shape.channels * shape.size**2
        self.free_bits = free_bits
        if not model.prior.has_density:
            raise UsageError(
                "a score prior is fitted to a finished model", hint="train another first:  --prior score, without --set"
            )
        if free_bits:
            self.names = (*self.names, "free")
            if not isinstance(model.prior, StandardNormal):
                raise UsageError("free bits need the standard prior", hint="--set training.free_bits=0")

    def parameters(self) -> Iterable[nn.Parameter]:
        return self.model.parameters()

    def train_mode(self) -> None:
        self.model.train()

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        return self.of_bound(self._bound(images, condition))

    def _bound(self, images: Tensor, condition: Condition) -> Bound:
        noise = self.random.normal(len(images), *self.model.latent_shape, device=images.device)
        return self.model.elbo(images, condition, noise=noise)

    def of_bound(self, bound: Bound) -> Float[Tensor, "b losses"]:
        """The losses that a bound holds."""
        losses = [bound.rate, bound.distortion]
        if self.free_bits:
            assert isinstance(self.model.prior, StandardNormal)
            assert bound.posterior is not None
            rates = self.model.prior.rates(bound.posterior).mean(0)  # of each number, over the batch
            # where a rate is below, this takes its gradient back
            losses.append((self.free_bits - rates).clamp_min(0).sum().expand(len(bound.rate)))
        return torch.stack(losses, dim=1)

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        rate, distortion, *free = losses.unbind(1)
        return beta * sum(free, rate) + distortion


class PriorAlone(Objective):
    """The prior's own loss on latents of a posterior that stays as it is."""

    names: tuple[str, ...] = ("prior loss",)

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        self.most = _MOST * (math.prod(model.latent_shape) if model.prior.has_density else 1)

    def parameters(self) -> Iterable[nn.Parameter]:
        self.model.requires_grad_(False)
        self.model.prior.requires_grad_(True)
        return self.model.prior.parameters()

    def train_mode(self) -> None:
        self.model.eval()
        self.model.prior.train()

    def batches(self, dataset: Dataset, **settings: Any) -> Batches:
        return LatentBatches(self.model, dataset, **settings)

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        return self.model.prior.loss(self._latents(images), condition, self.random)[:, None]

    def _latents(self, moments: Float[Tensor, "b 2 *d"]) -> Latents:
        """A latent for each mean and deviation."""
        mean, deviation = moments.unbind(1)
        return mean + deviation * self.random.normal(*mean.shape, device=mean.device)

    def prepare(self, batches: Batches) -> None:
        seen = [self._latents(moments) for (moments, _), _ in zip(batches.epoch(0), range(_CALIBRATION), strict=False)]
        self.model.prior.calibrate(get_world().gather_rows(seen).to(self.model.device))
