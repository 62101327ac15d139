"""The loss of a prior as an objective: a prior is fitted to the posterior of a finished model."""

import math
from collections.abc import Iterable
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.events import Callback, ignore
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.network import Latents
from cvae_cli.runtime.distributed import get_world
from cvae_cli.training.objectives.latent_batches import LatentBatches, StreamedLatents
from cvae_cli.training.objectives.objective import MAX_LOSS_PER_NUMBER, Objective

_CALIBRATION_BATCHES = 64


class PriorObjective(Objective):
    """The prior's own loss on samples of the posterior. The rest of the model is frozen."""

    names: tuple[str, ...] = ("prior loss",)

    def __init__(self, model: CVAE) -> None:
        super().__init__(model)
        self.max_loss = MAX_LOSS_PER_NUMBER * (math.prod(model.latent_shape) if model.prior.has_density else 1)

    def parameters(self) -> Iterable[nn.Parameter]:
        self.model.requires_grad_(False)
        self.model.prior.requires_grad_(True)
        return self.model.prior.parameters()

    def train_mode(self) -> None:
        self.model.eval()
        self.model.prior.train()

    def make_batches(self, dataset: Dataset, *, callback: Callback = ignore, **settings: Any) -> Batches:
        if dataset.stream is not None:
            return StreamedLatents(self.model, dataset, callback=callback, **settings)
        windows = self.model.prior.takes_windows
        return LatentBatches(self.model, dataset, windows=windows, callback=callback, **settings)

    def losses(self, images: Tensor, condition: Condition) -> Float[Tensor, "b losses"]:
        """Return the prior's loss on latents; `images` are the moments that `LatentBatches` serves."""
        latents, window = self._sample_latents(images)
        if window is None:
            return self.model.prior.loss(latents, condition, self.random)[:, None]
        return self.model.prior.loss(latents, condition, self.random, window=window)[:, None]

    def _sample_latents(self, moments: Float[Tensor, "b 2 *d"]) -> tuple[Latents, Float[Tensor, "b 3"] | None]:
        """Sample a latent for each mean and standard deviation, and take what is said of its window from behind it."""
        numbers = self.model.latent_shape[0]
        mean, deviation = moments[:, :, :numbers].unbind(1)
        told = moments[:, 0, numbers:]  # the same at each position of a map
        window = told.reshape(len(told), 3, -1)[..., 0] if moments.shape[2] > numbers else None
        return mean + deviation * self.random.normal(*mean.shape, device=mean.device), window

    def calibrate(self, batches: Batches) -> None:
        """Set the prior's scale from the latents of a few batches."""
        few = zip(batches.epoch(0), range(_CALIBRATION_BATCHES), strict=False)
        latents = [self._sample_latents(moments)[0] for (moments, _), _ in few]
        self.model.prior.calibrate(get_world().gather_rows(latents).to(self.model.device))
