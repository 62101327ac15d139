"""The judges of samples: each is shown drawn pictures beside real ones, batch by batch, and then gives its scores."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from cvae_cli.evaluation.clip_score import ClipJudge, clip_score, retrieval
from cvae_cli.evaluation.fashion_cnn import FashionCNN
from cvae_cli.runtime.distributed import get_world

Pictures = UInt8[Tensor, "n 3 h w"]

_ROWS = 1000  # of a matrix of distances that are in memory at a time

GROUP = 100
"""Captions among which a picture must find its own."""


class Judge(ABC):
    """Gives one or more scores of samples; of those that all processes have seen, where several share the work."""

    @abstractmethod
    def see(self, drawn: Pictures, real: Pictures, texts: Sequence[str]) -> None:
        """Take in samples, the real pictures of the same rows and, in words, what was asked for."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """By metric name; what stands beside a metric under other names."""


class Frechet(Judge):
    """The distance between Gaussians fitted to the features of real and of drawn pictures (Heusel et al. 2017)."""

    def __init__(self, name: str, network: nn.Module, device: torch.device) -> None:
        from torchmetrics.image.fid import FrechetInceptionDistance

        self.name = name
        # uint8 in, float64 sums inside; antialias must be off for numbers that compare (it is in our extractors)
        self.distance = FrechetInceptionDistance(feature=network, antialias=False).to(device)

    def see(self, drawn: Pictures, real: Pictures, texts: Sequence[str]) -> None:
        self.distance.update(real, real=True)
        self.distance.update(drawn, real=False)

    def scores(self) -> dict[str, float]:
        return {self.name: self.distance.compute().item()}  # torchmetrics adds up what all processes have


class Agreement(Judge):
    """How often a classifier sees in a sample the class that was asked for."""

    def __init__(self, classifier: FashionCNN, classes: Sequence[str]) -> None:
        self.classifier = classifier
        self.classes = list(classes)
        self.agreed = self.seen = 0

    def see(self, drawn: Pictures, real: Pictures, texts: Sequence[str]) -> None:
        asked = torch.tensor([self.classes.index(text) for text in texts], device=drawn.device)
        self.agreed += int((self.classifier.classify(drawn).argmax(1) == asked).sum())
        self.seen += len(texts)

    def scores(self) -> dict[str, float]:
        agreed, seen = (sum(counts) for counts in zip(*get_world().all_gather((self.agreed, self.seen)), strict=True))
        return {"accuracy": agreed / seen}


class Neighbours(Judge):
    """Whether samples are as varied as real pictures, by who is whose neighbour among their features.

    recall: the share of real pictures within the reach of a sample, which is as far as its k-th nearest sample
    (Kynkäänniemi et al. 2019, k = 3). coverage: the share of real pictures with a sample within their own reach, as
    far as their k-th nearest real picture (Naeem et al. 2020, k = 5).
    """

    _RECALL_K, _COVERAGE_K = 3, 5

    def __init__(self, network: nn.Module) -> None:
        self.network = network
        self.drawn: list[Tensor] = []
        self.real: list[Tensor] = []

    def see(self, drawn: Pictures, real: Pictures, texts: Sequence[str]) -> None:
        self.drawn.append(self.network(drawn).cpu())
        self.real.append(self.network(real).cpu())

    def scores(self) -> dict[str, float]:
        drawn, real = get_world().gather_rows(self.drawn), get_world().gather_rows(self.real)
        reach_of_drawn, reach_of_real = _reach(drawn, self._RECALL_K), _reach(real, self._COVERAGE_K)
        recalled = covered = 0
        for start in range(0, len(real), _ROWS):
            rows = slice(start, start + _ROWS)
            distances = torch.cdist(real[rows], drawn)  # (rows, drawn)
            recalled += int((distances <= reach_of_drawn).any(1).sum())
            covered += int((distances.amin(1) <= reach_of_real[rows]).sum())
        return {"recall": recalled / len(real), "coverage": covered / len(real)}


def _reach(features: Tensor, k: int) -> Tensor:
    """How far each row's k-th nearest other row is, `(n,)`."""
    k = min(k, len(features) - 1)
    parts = [torch.cdist(part, features).kthvalue(k + 1, dim=1).values for part in features.split(_ROWS)]
    return torch.cat(parts)  # the nearest is the row itself


class CaptionMatch(Judge):
    """How well samples show their captions, in the eyes of CLIP; beside it, how well the real pictures do."""

    def __init__(self, clip: ClipJudge) -> None:
        self.clip = clip
        self.cut_before = clip.cut  # by the judging of other models
        self.drawn: list[Tensor] = []
        self.real: list[Tensor] = []
        self.texts: list[Tensor] = []

    def see(self, drawn: Pictures, real: Pictures, texts: Sequence[str]) -> None:
        self.drawn.append(self.clip.images(drawn))
        self.real.append(self.clip.images(real))
        self.texts.append(self.clip.texts(texts))

    def scores(self) -> dict[str, float]:
        drawn, real, texts = (get_world().gather_rows(part) for part in (self.drawn, self.real, self.texts))
        # in groups at random: neighbours in a data set may show the same
        order = torch.randperm(len(texts), generator=torch.Generator().manual_seed(0))
        drawn, real, texts = drawn[order], real[order], texts[order]
        return {
            "clip-score": clip_score(drawn, texts).mean().item(),
            "clip-score captions cut": sum(get_world().all_gather(self.clip.cut - self.cut_before)),
            "clip-score of real pictures": clip_score(real, texts).mean().item(),
            "retrieval": retrieval(drawn, texts, GROUP),
            "retrieval of real pictures": retrieval(real, texts, GROUP),
            "retrieval by chance": 1 / min(GROUP, len(texts)),
        }
