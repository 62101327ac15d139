"""An evaluation as a table of strings, for people and for pipes."""

from collections.abc import Sequence

from cvae_cli.data.catalog import short_name
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.result import Evaluation, ModelScores

_ARROWS = {"lower": "↓", "higher": "↑", None: ""}


def columns(evaluation: Evaluation) -> list[str]:
    """The headings: one for the metric, and one for each model."""
    return ["", *(f"{model.label} (hybrid)" if model.hybrid else model.label for model in evaluation.models)]


def rows(evaluation: Evaluation) -> list[list[str]]:
    """A row for each metric: its label and a value for each model. The best of several values is marked with *."""
    return [_row(name, evaluation) for name in evaluation.metrics]


def plain_rows(evaluation: Evaluation) -> list[list[str]]:
    """A row for each metric and model: the metric, the value and, if there are several models, the model's label."""
    several = len(evaluation.models) > 1
    return [
        [name, _plain(model.scores[name]), *([model.label] if several else [])]
        for name in evaluation.metrics
        for model in evaluation.models
    ]


def footer(evaluation: Evaluation) -> str:
    """The line below the table: the data and the seed."""
    protocol = evaluation.protocol
    data = f"{protocol['real_images']:,} {protocol['split']} images of {short_name(protocol['dataset'])}"
    return f"{data} · seed {protocol['seed']} · details: --json"


def caveats(models: Sequence[ModelScores], metrics: Sequence[str]) -> list[str]:
    """Sentences about scores of these models that have no meaning, or that cannot be compared with each other."""
    texts = []
    if not all(_is_comparable(name, models) for name in metrics):
        texts.append("the models have different likelihoods: their -ELBOs and distortions cannot be compared")
    undefined = [name for name in metrics if any(model.scores[name] is None for model in models)]
    return [*texts, *(catalog.find_metric(name).note for name in undefined)]


def _row(name: str, evaluation: Evaluation) -> list[str]:
    metric = catalog.find_metric(name)
    values = [model.scores[name] for model in evaluation.models]
    known = [value for value in values if value is not None]
    best = None
    if len(known) > 1 and metric.direction is not None and _is_comparable(name, evaluation.models):
        best = min(known) if metric.direction == "lower" else max(known)
    marks = ["" if best is None else " *" if value == best else "  " for value in values]
    cells = [_cell(value) + mark for value, mark in zip(values, marks, strict=True)]
    heading = metric.heading(evaluation.protocol["generated_images"])
    return [f"{heading} {_ARROWS[metric.direction]}".rstrip(), *cells]


def _is_comparable(name: str, models: Sequence[ModelScores]) -> bool:
    first, *others = models
    return all(catalog.find_metric(name).is_comparable(first, other) for other in others)


def _cell(value: float | None) -> str:
    return "not comparable" if value is None else f"{value:.4g}"


def _plain(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}"
