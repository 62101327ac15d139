"""What the metrics of one evaluation share: settings, feature extractors and states."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeVar, TypeVarTuple

import torch

from cvae_cli.errors import UsageError
from cvae_cli.evaluation.features import SMALL, Extractor, load_extractor, small_features
from cvae_cli.events import Callback, ignore
from cvae_cli.models.sampling import check_sampling

Reconstruction = Literal["sample", "mean"]


@dataclass(frozen=True)
class Settings:
    """What scores depend on besides the model and the data.

    Attributes:
        guidance: the guidance scale of samples; each model's own if absent.
        reconstruction: whether pictures are reconstructed from a sample of the posterior, as in the article, or from
            its mean, which gives a smaller error.
        k: posterior samples a picture for the importance-weighted bound.
        clip: the CLIP model of `clip-score` and `retrieval`, see `clip_source.find_clip`; OpenAI's ViT-B/32 if absent.
        repeats: how many seeds the scores are a mean of: `seed` and the ones after it.
    """

    seed: int = 0
    temperature: float = 1.0
    guidance: float | None = None
    reconstruction: Reconstruction = "sample"
    k: int = 64
    clip: str | None = None
    repeats: int = 1

    def __post_init__(self) -> None:
        check_sampling(seed=self.seed, temperature=self.temperature, guidance=self.guidance)
        if self.reconstruction not in {"sample", "mean"}:
            raise UsageError(f'reconstruction must be "sample" or "mean", not "{self.reconstruction}"')
        if self.k < 1:
            raise UsageError(f"k must be at least 1, not {self.k}")
        if self.repeats < 1:
            raise UsageError(f"repeats must be at least 1, not {self.repeats}")


RealFeatures = dict[int, dict[Extractor, Any]]

S = TypeVar("S")
Arguments = TypeVarTuple("Arguments")


@dataclass(frozen=True)
class Context:
    """What the metrics of one evaluation share.

    Attributes:
        device: where features are computed.
        callback: called with events while networks are loaded and while models are measured.
        dataset: the name of the data set that pictures are of, which decides what the features `small` are.
        real_features: the features of batches of real pictures by the number of their first one; None if they will not
            be needed again, with another seed or for another model.
    """

    device: torch.device
    settings: Settings = field(default_factory=Settings)
    callback: Callback = ignore
    dataset: str | None = None
    real_features: RealFeatures | None = None
    _extractors: dict[str, Extractor] = field(default_factory=dict)
    _states: dict[tuple[Any, ...], Any] = field(default_factory=dict)

    def features_name(self, name: str) -> str:
        """The feature extractor that `name` stands for: `small` and `clip` depend on the data and the settings."""
        if name == SMALL:
            return small_features(self.dataset)
        if name == "clip" and self.settings.clip is not None:
            return f"clip:{self.settings.clip}"
        return name

    def extractor(self, name: str) -> Extractor:
        """The feature extractor `name`, loaded once for all metrics and models; see `features.load_extractor`."""
        name = self.features_name(name)
        if name not in self._extractors:
            self._extractors[name] = load_extractor(name, self.device, self.callback)
        return self._extractors[name]

    def shared(self, state: Callable[[*Arguments], S], *arguments: *Arguments) -> S:
        """The one instance of the class `state` with these arguments that all metrics of a model share."""
        key = (state, *arguments)
        if key not in self._states:
            self._states[key] = state(*arguments)
        return self._states[key]

    def known_features(self, row: int) -> dict[Extractor, Any]:
        """The features of the batch of real pictures from `row` on that are known, to which others may be added."""
        return {} if self.real_features is None else self.real_features.setdefault(row, {})

    def for_next_model(self, dataset: str | None = None) -> "Context":
        """The same settings and extractors without the states of the model before, and perhaps for other data."""
        return replace(self, dataset=dataset or self.dataset, _states={})


def feature_device(device: torch.device) -> torch.device:
    """Where features are computed: Fréchet distances need float64, which Apple's GPUs do not have."""
    return torch.device("cpu") if device.type == "mps" else device
