"""What an objective is: the losses that a training minimises, and the parameters that it trains."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.stream_batches import StreamBatches
from cvae_cli.events import Callback, ignore
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.randomness import BatchRandom

MAX_LOSS_PER_NUMBER = 5000.0
"""The loss above which a training counts as diverged, in nats for each number of a picture or of a latent (of a score
prior, squared error of the velocity). Healthy trainings start below 5; one that was unstable recovered from 2,500."""


class Objective(ABC):
    """The losses of a batch, and the parameters that learn from them.

    Attributes:
        names: the name of each loss, in the order of the columns that `losses` returns.
        max_loss: a training whose total loss exceeds this has diverged, even if the loss becomes smaller again.
        max_bound: the same for the -ELBO of the validation pictures, in nats.
        random: the source of the random numbers of a step.
    """

    names: tuple[str, ...]
    random = BatchRandom()

    def __init__(self, model: CVAE) -> None:
        shape = model.config.image
        self.model = model
        self.max_loss = self.max_bound = MAX_LOSS_PER_NUMBER * shape.channels * shape.size**2

    @abstractmethod
    def parameters(self) -> Iterable[nn.Parameter]:
        """Return the parameters of the model that are trained."""

    @abstractmethod
    def train_mode(self) -> None:
        """Put the trained modules into training mode and all others into evaluation mode."""

    def make_batches(self, dataset: Dataset, *, callback: Callback = ignore, **settings: Any) -> Batches:
        """Return the batches that `losses` takes; `settings` are those of `Batches`."""
        if dataset.stream is not None:
            return StreamBatches(dataset, callback=callback, **settings)
        return Batches(dataset, **settings)

    @abstractmethod
    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        """Return the losses of each image, in the order of `names`."""

    def total(self, losses: Float[Tensor, "b losses"], beta: float) -> Float[Tensor, " b"]:
        """Return the loss of each image that is minimised.

        Args:
            beta: the weight of the rate; objectives without a rate ignore it.
        """
        return losses.sum(1)

    @torch.no_grad()
    def evaluate(self, images: Tensor, condition: Condition) -> float:
        """Return the mean loss of a batch in evaluation mode; no parameter or buffer changes."""
        self.model.eval()
        loss = self.total(self._evaluation_losses(images, condition), beta=1.0).mean().item()
        self.train_mode()
        return loss

    def _evaluation_losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        """Return the losses that depend on the model alone."""
        return self.losses(images, condition)

    def calibrate(self, batches: Batches) -> None:  # noqa: B027, most objectives need no calibration
        """Set what depends on the data. Called once, before the first step of a training."""

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors besides the model's that a resumed training needs."""
        return {}

    def load_state_dict(self, tensors: Mapping[str, Tensor]) -> None:  # noqa: B027, most objectives have no state
        """Restore what `state_dict` returned.

        Raises:
            KeyError, RuntimeError, ValueError: the tensors belong to another objective.
        """
