"""The result of an evaluation."""

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model.

    Attributes:
        label: a short name that differs from those of the other models.
        source: the name, path or Hub repository that it was loaded from; None for a model in memory.
        weights_sha256: the SHA-256 of its weights file; None for a model in memory.
        likelihood: the kind of its likelihood: nats of different kinds cannot be compared.
        hybrid: whether it was trained with perceptual or adversarial terms.
        scores: a value for each metric; None if the metric has no meaning for this model.
        details: other numbers that belong to the scores, such as "clip-score of real pictures".
    """

    label: str
    source: str | None
    weights_sha256: str | None
    likelihood: str
    hybrid: bool
    scores: dict[str, int | float | None]
    details: dict[str, int | float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry of this model in the JSON document of `cvae evaluate --json`."""
        return {
            "model": self.label,
            "weights_sha256": self.weights_sha256,
            "likelihood": self.likelihood,
            "hybrid": self.hybrid,
            "scores": self.scores,
            **self.details,
        }


@dataclass(frozen=True)
class Evaluation:
    """The scores of one or more models on the same pictures.

    Attributes:
        models: the scores of each model, in the order in which the models were given.
        metrics: the names of the metrics, in the order in which they were asked for.
        protocol: everything that the scores depend on, apart from the models.
        warnings: sentences about scores that may mislead, and about those that cannot be compared.
    """

    models: list[ModelScores]
    metrics: list[str]
    protocol: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `cvae evaluate --json`."""
        models = [model.to_dict() for model in self.models]
        return {"models": models, "warnings": self.warnings, "protocol": self.protocol}
