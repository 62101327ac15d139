"""Metrics by a classifier: whether samples show the class that was asked for."""

import torch
from jaxtyping import Bool
from torch import Tensor

from cvae_cli.data.mnist import FAMILY
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.metric import SampleMetric
from cvae_cli.evaluation.streams import SampleBatch
from cvae_cli.runtime.distributed import get_world


class Accuracy(SampleMetric):
    """The share of samples that the Fashion-MNIST classifier assigns to the class that was asked for."""

    name = "accuracy"
    label = "accuracy"
    direction = "higher"
    dataset = "fashion-mnist"
    features = "fashion"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._classes = list(FAMILY["fashion-mnist"].words)
        self._correct = self._total = 0

    def correct(self, batch: SampleBatch) -> Bool[Tensor, " b"]:
        """Whether each sample shows the class that was asked for."""
        predicted = self.extractor.network.logits(batch.generated.features(self.extractor)).argmax(1)
        target = torch.tensor([self._classes.index(text) for text in batch.texts], device=predicted.device)
        return predicted == target

    def update(self, batch: SampleBatch) -> None:
        self._correct += int(self.correct(batch).sum())
        self._total += len(batch.texts)

    def compute(self) -> float | None:
        counts = get_world().all_gather((self._correct, self._total))
        correct, total = (sum(each) for each in zip(*counts, strict=True))
        return correct / total
