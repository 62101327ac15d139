"""The result of an evaluation: the scores of models, or of sets of pictures, with everything that they depend on."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from cvae_cli.errors import InterruptedRunError

Protocols = dict[str, dict[str, Any]]
"""What each score depends on, by the metric's name."""


@dataclass(frozen=True)
class ModelScores:
    """The scores of one model.

    Attributes:
        label: a short name that differs from those of the other models.
        source: the name, path or Hub repository that it was loaded from; None for a model in memory.
        weights_sha256: the SHA-256 of its weights file; None for a model in memory, and for several runs.
        likelihood: the kind of its likelihood: nats of different kinds cannot be compared.
        hybrid: whether it was trained with perceptual or adversarial terms.
        scores: a value for each metric; None if the metric has no meaning for this model.
        details: other numbers that belong to the scores, such as "clip-score of real pictures".
        protocols: what each score depends on, apart from the model.
        deviations: standard deviations of scores, over the runs or the seeds, or what a metric of one seed states.
        runs: the scores of each run, if these are the means over the runs of a recipe with several seeds.
    """

    label: str
    source: str | None
    weights_sha256: str | None
    likelihood: str
    hybrid: bool
    scores: dict[str, int | float | None]
    details: dict[str, int | float] = field(default_factory=dict)
    protocols: Protocols = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)
    runs: "list[ModelScores]" = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """The entry of this model in the JSON document of `cvae evaluate --json`."""
        runs = [
            {"model": each.label, "weights_sha256": each.weights_sha256, "scores": each.scores} for each in self.runs
        ]
        return {
            "model": self.label,
            "weights_sha256": self.weights_sha256,
            "likelihood": self.likelihood,
            "hybrid": self.hybrid,
            **({"runs": runs} if runs else {}),
            **_entries(self),
        }


@dataclass(frozen=True)
class SetScores:
    """The scores of one set of generated pictures.

    Attributes:
        label: a short name that differs from those of the other sets.
        source: the folder, shard or data set.
        pictures: how many there are.
        sizes: their widths and heights, such as `28x28`, or `28x28 to 64x48`.
        sha256: identifies their contents, whatever the names and the order of the files.
        scores: a value for each metric.
        details: other numbers that belong to the scores.
        protocols: what each score depends on, apart from the pictures.
        deviations: standard deviations that metrics state with their scores.
    """

    label: str
    source: str
    pictures: int
    sizes: str
    sha256: str
    scores: dict[str, int | float | None]
    details: dict[str, int | float] = field(default_factory=dict)
    protocols: Protocols = field(default_factory=dict)
    deviations: dict[str, float] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """The entry of this set in the JSON document of `cvae evaluate --json`."""
        return {
            "generated": self.source,
            "pictures": self.pictures,
            "sizes": self.sizes,
            "sha256": self.sha256,
            **_entries(self),
        }


Scores = ModelScores | SetScores
"""What a column of the table shows."""


def _entries(scores: Scores) -> dict[str, Any]:
    """The part of an entry in the JSON document that models and sets have in common."""
    parts = {"scores": scores.scores, "deviations": scores.deviations, "protocols": scores.protocols}
    return {**parts, **scores.details}


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

    @property
    def measured(self) -> Sequence[Scores]:
        """The models."""
        return self.models

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `cvae evaluate --json`; `docs/evaluation.schema.json` describes it."""
        models = [model.to_dict() for model in self.models]
        return {"models": models, "warnings": self.warnings, "protocol": self.protocol}


@dataclass(frozen=True)
class SetEvaluation:
    """The scores of one or more sets of generated pictures against the same real ones.

    Attributes:
        sets: the scores of each set, in the order in which the sets were given.
        metrics, protocol, warnings: see `Evaluation`.
    """

    sets: list[SetScores]
    metrics: list[str]
    protocol: dict[str, Any]
    warnings: list[str] = field(default_factory=list)

    @property
    def measured(self) -> Sequence[Scores]:
        """The sets."""
        return self.sets

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `cvae evaluate --json`; `docs/evaluation.schema.json` describes it."""
        sets = [each.to_dict() for each in self.sets]
        return {"sets": sets, "warnings": self.warnings, "protocol": self.protocol}


class StoppedEvaluationError(InterruptedRunError):
    """Ctrl-C during an evaluation; some of the scores were finished.

    Attributes:
        evaluation: those scores.
    """

    def __init__(self, evaluation: Evaluation | SetEvaluation) -> None:
        super().__init__("stopped; these are the scores that were finished")
        self.evaluation = evaluation
