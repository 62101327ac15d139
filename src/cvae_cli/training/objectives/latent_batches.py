"""Batches of posteriors instead of pictures: a frozen encoder encodes the data set once."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor

from cvae_cli.data.batches import Batch, Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.stream_batches import StreamBatches
from cvae_cli.data.windows import Windows, describe, draw_windows
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.device import send

_WINDOWS = 8
"""Windows of each picture. Like everything that is encoded they are chosen once."""


class LatentBatches(Batches):
    """Batches with the mean and standard deviation of each picture's posterior, `(b, 2, *latent)`.

    They are stored in half precision: for each picture, with `flip` for its mirror image, and with `windows` for some
    windows of the larger picture, if there is one. Then each latent has three more channels, which say what it shows of
    its picture (see `data.windows.describe`). Of several captions the posterior gets the first.
    """

    def __init__(
        self,
        model: CVAE,
        dataset: Dataset,
        *,
        flip: bool = False,
        windows: bool = False,
        callback: Callback = ignore,
        **settings: Any,
    ) -> None:
        super().__init__(dataset, flip=flip, **settings)
        n, whole = len(dataset), np.zeros(len(dataset), bool)
        self._has_windows = windows and dataset.larger is not None
        channels, *sides = model.latent_shape
        self._windows = 2 if flip else 1  # the views from here on are windows
        shape = (self._windows + _WINDOWS * self._has_windows, n, 2, channels + 3 * self._has_windows, *sides)
        self._moments = torch.empty(shape, dtype=torch.half, device=self.device)
        model.eval()
        self._encode_all(0, model, whole, None, callback)
        if flip:
            self._encode_all(1, model, ~whole, None, callback)
        random = np.random.default_rng([self.seed, _WINDOWS])
        for view in range(self._windows, len(self._moments)):
            assert dataset.larger is not None
            looks = draw_windows(n, dataset.larger.image_shape.size, random, whole_rate=0.0)
            self._encode_all(view, model, (random.random(n) < 0.5) & flip, looks, callback)
        self._on_device = self._larger_on_device = None  # frees the pictures

    @torch.no_grad()
    def _encode_all(
        self, view: int, model: CVAE, mirrored: NDArray[np.bool_], windows: Windows | None, callback: Callback
    ) -> None:
        """Encode a view of each picture."""
        task = "encoding windows" if windows else "encoding mirrored pictures" if view else "encoding pictures"
        n = len(self.dataset)
        for start in range(0, n, self.batch_size):
            chosen = np.arange(start, min(start + self.batch_size, n))
            looks = windows and windows.take(chosen)
            images = super()._pictures(chosen, mirrored[chosen], looks)
            posterior = model.posterior(images, self._conditions(chosen, None))
            moments = torch.stack([posterior.mean, posterior.stddev], dim=1)
            if self._has_windows:
                moments = torch.cat([moments, self._described(moments, mirrored[chosen], looks)], dim=2)
            self._moments[view, start : start + len(chosen)] = moments.half()
            callback(Progress(task, start + len(chosen), n))

    def _described(
        self, moments: Float[Tensor, "n 2 *d"], mirrored: NDArray[np.bool_], windows: Windows | None
    ) -> Tensor:
        """Return the channels that say what latents show, the same at each position."""
        told = moments.new_zeros(len(moments), 3)
        if windows is not None:
            assert self.dataset.larger is not None
            told = describe(windows, self.dataset.larger.image_shape.size, mirrored).to(moments.device)
        sides = moments.shape[3:]
        return told.view(-1, 1, 3, *[1] * len(sides)).expand(-1, 2, 3, *sides)

    def _pictures(
        self, chosen: NDArray[np.int64], mirrored: NDArray[np.bool_], windows: Windows | None = None
    ) -> Tensor:
        view = mirrored.astype(np.int64)
        if self._has_windows and windows is not None:
            number = windows.left % _WINDOWS  # a place at random, which is as good as a number at random
            view = np.where(windows.side > 0, self._windows + number, view)
        views, rows = (send(torch.from_numpy(each), self.device) for each in (view, chosen))
        return self._moments[views, rows].float()


class StreamedLatents(StreamBatches):
    """The same for a stream, whose pictures are encoded in each epoch anew, with the caption that is drawn."""

    def __init__(self, model: CVAE, dataset: Dataset, **settings: Any) -> None:
        super().__init__(dataset, **settings)
        self._model = model

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        for images, condition in super().epoch(epoch, start):
            with torch.no_grad():
                posterior = self._model.posterior(images, condition)
            yield torch.stack([posterior.mean, posterior.stddev], dim=1), condition
