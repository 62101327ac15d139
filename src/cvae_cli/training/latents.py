"""What a frozen posterior makes of a data set, computed once."""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE


class LatentBatches(Batches):
    """Batches that have, in place of each picture, the mean and the deviation of its posterior, `(b, 2, *latent)`.

    They are kept in half precision, of each picture, and of its mirror image where it may be mirrored; the posterior is
    told the first of several captions.
    """

    def __init__(self, model: CVAE, dataset: Dataset, *, flip: bool = False, **settings: Any) -> None:
        super().__init__(dataset, flip=flip, **settings)
        self._moments = [self._encoded(model.eval(), mirrored) for mirrored in ([False, True] if flip else [False])]
        self._resident = None  # the pictures are not needed any more

    @torch.no_grad()
    def _encoded(self, model: CVAE, mirrored: bool) -> Float[Tensor, "n 2 *d"]:
        parts = []
        for start in range(0, len(self.dataset), self.batch_size):
            chosen = np.arange(start, min(start + self.batch_size, len(self.dataset)))
            images = super()._pictures(chosen, np.full(len(chosen), mirrored))
            posterior = model.posterior(images, self._conditions(chosen, None))
            parts.append(torch.stack([posterior.mean, posterior.stddev], dim=1).half())
        return torch.cat(parts)

    def _pictures(self, chosen: NDArray[np.int64], mirrored: NDArray[np.bool_]) -> Tensor:
        rows = torch.from_numpy(chosen).to(self.device)
        moments = self._moments[0][rows].float()
        if mirrored.any():
            other = self._moments[1][rows].float()
            mirror = torch.from_numpy(mirrored).to(self.device).view(-1, *[1] * (moments.ndim - 1))
            moments = torch.where(mirror, other, moments)
        return moments
