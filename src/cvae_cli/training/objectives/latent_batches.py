"""Batches of posteriors instead of pictures: a frozen encoder encodes the data set once."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.windows import Windows
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.device import send


class LatentBatches(Batches):
    """Batches with the mean and standard deviation of each picture's posterior, `(b, 2, *latent)`.

    They are stored in half precision: for each picture, and with `flip` for its mirror image. Of several captions the
    posterior gets the first.
    """

    def __init__(
        self, model: CVAE, dataset: Dataset, *, flip: bool = False, callback: Callback = ignore, **settings: Any
    ) -> None:
        super().__init__(dataset, flip=flip, **settings)
        mirrorings = [False, True] if flip else [False]
        self._moments = [self._encode_all(model.eval(), mirrored, callback) for mirrored in mirrorings]
        self._on_device = self._larger_on_device = None  # frees the pictures

    @torch.no_grad()
    def _encode_all(self, model: CVAE, mirrored: bool, callback: Callback) -> Float[Tensor, "n 2 *d"]:
        task = "encoding mirrored pictures" if mirrored else "encoding pictures"
        parts = []
        n = len(self.dataset)
        for start in range(0, n, self.batch_size):
            chosen = np.arange(start, min(start + self.batch_size, n))
            images = super()._pictures(chosen, np.full(len(chosen), mirrored))
            posterior = model.posterior(images, self._conditions(chosen, None))
            parts.append(torch.stack([posterior.mean, posterior.stddev], dim=1).half())
            callback(Progress(task, start + len(chosen), n))
        return torch.cat(parts)

    def _pictures(
        self, chosen: NDArray[np.int64], mirrored: NDArray[np.bool_], windows: Windows | None = None
    ) -> Tensor:
        rows = send(torch.from_numpy(chosen), self.device)
        moments = self._moments[0][rows].float()
        if mirrored.any():
            mirrored_moments = self._moments[1][rows].float()
            use_mirrored = send(torch.from_numpy(mirrored), self.device).view(-1, *[1] * (moments.ndim - 1))
            moments = torch.where(use_mirrored, mirrored_moments, moments)
        return moments
