"""The perceptual distance of reconstructions, by a network trained on photographs."""

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.metric import ReconstructionMetric
from cvae_cli.evaluation.streams import ReconstructionBatch


class LPIPS(ReconstructionMetric):
    """The learned perceptual distance of a reconstruction (Zhang et al. 2018, version 0.1, AlexNet)."""

    name = "lpips"
    label = "lpips, alexnet"
    direction = "lower"
    is_default = False
    features = "lpips"
    min_size = 31  # AlexNet reduces smaller pictures to nothing

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._network = context.extractor("lpips").network

    @torch.no_grad()
    def values(self, batch: ReconstructionBatch) -> Float[Tensor, " b"]:
        pictures = (
            each.to(self.context.device).expand(-1, 3, -1, -1) for each in (batch.images, batch.reconstructions)
        )
        return self._network(*pictures)
