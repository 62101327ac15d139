"""An evaluation as a table of strings, for people, for pipes and for other programs."""

import csv
import io
from collections.abc import Sequence
from typing import Any

from cvae_cli.data.catalog import short_name
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.protocol import differences, essentials
from cvae_cli.evaluation.result import Evaluation, ModelScores, Scores, SetEvaluation

_ARROWS = {"lower": "↓", "higher": "↑", None: ""}
_OTHER_PROTOCOL = "†"

AnyEvaluation = Evaluation | SetEvaluation


def columns(evaluation: AnyEvaluation) -> list[str]:
    """The headings: one for the metric, and one for each model or set."""
    return ["", *map(_heading, evaluation.measured)]


def rows(evaluation: AnyEvaluation) -> list[list[str]]:
    """A row for each metric: its label and a value for each model or set.

    The best of several values is marked with *, and one of another protocol than the first with †.
    """
    return [_row(name, evaluation) for name in evaluation.metrics]


def plain_rows(evaluation: AnyEvaluation) -> list[list[str]]:
    """A row for each metric and model or set: the metric, the value and, if there are several, the label.

    A value of another protocol than the first has a fourth cell, which says what is different.
    """
    first, *others = evaluation.measured
    return [
        [name, _plain(each.scores[name]), *([each.label] if others else []), *_difference(name, first, each)]
        for name in evaluation.metrics
        for each in evaluation.measured
        if name in each.scores
    ]


def csv_lines(evaluation: AnyEvaluation) -> list[str]:
    """The lines of `cvae evaluate --csv`: a heading, then one for each model or set and metric, with its protocol."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    kind = "model" if isinstance(evaluation, Evaluation) else "generated"
    writer.writerow([kind, "metric", "value", "deviation", "better", "protocol"])
    for each in evaluation.measured:
        for name, score in each.scores.items():
            value = "" if score is None else repr(score)
            better = catalog.find_metric(name).direction or ""
            deviation = repr(each.deviations[name]) if name in each.deviations else ""
            writer.writerow([each.label, name, value, deviation, better, essentials(each.protocols.get(name, {}))])
    return file.getvalue().splitlines()


def footer(evaluation: AnyEvaluation) -> str:
    """The lines below the table: the data, and what the scores depend on."""
    protocol, measured = evaluation.protocol, evaluation.measured
    if isinstance(evaluation, Evaluation):
        data = f"{protocol['real_images']:,} {protocol['split']} pictures of {short_name(protocol['dataset'])}"
        first = f"{data} · seed {protocol['seed']}{_unusual(protocol)} · details: --json"
    else:
        number = f"{protocol['real_images']:,} real pictures" if protocol["real_images"] else "real pictures"
        first = f"{number} of {protocol['real']} · " if protocol["real"] else ""
        first += "details: --json"
    shared: dict[str, list[str]] = {}
    for name in evaluation.metrics:
        if features := measured[0].protocols.get(name, {}).get("features"):
            shared.setdefault(essentials({"features": features}), []).append(name)
    lines = [f"{', '.join(names)}: {text}" for text, names in shared.items()]
    return "\n".join([first, *lines])


def _unusual(protocol: dict[str, Any]) -> str:
    """Return settings of a protocol that are not those by default."""
    parts = []
    if protocol.get("repeats", 1) != 1:
        parts.append(f"mean of {protocol['repeats']} seeds")
    if protocol.get("temperature", 1.0) != 1.0:
        parts.append(f"temperature {protocol['temperature']:g}")
    if not isinstance(protocol.get("guidance", ""), str):
        parts.append(f"guidance {protocol['guidance']:g}")
    return "".join(f" · {part}" for part in parts)


def caveats(measured: Sequence[Scores], metrics: Sequence[str]) -> list[str]:
    """Sentences about scores that have no meaning, or that cannot be compared with each other."""
    texts = []
    if not all(_is_comparable(name, measured) for name in metrics):
        texts.append("the models have different likelihoods: their -ELBOs and distortions cannot be compared")
    first, *others = measured
    for other in others:
        names = [name for name in metrics if _difference(name, first, other)]
        if differences := list(dict.fromkeys(text for name in names for text in _difference(name, first, other))):
            texts.append(
                f"{_OTHER_PROTOCOL} {', '.join(names)} of {other.label} cannot be compared with {first.label}: "
                f"{'; '.join(differences)}"
            )
    undefined = [name for name in metrics if any(each.scores.get(name, 0) is None for each in measured)]
    return [*texts, *filter(None, (catalog.find_metric(name).note for name in undefined))]


def _row(name: str, evaluation: AnyEvaluation) -> list[str]:
    metric, measured = catalog.find_metric(name), evaluation.measured
    values = [each.scores.get(name) for each in measured]
    known = [value for value in values if value is not None]
    differs = [bool(_difference(name, measured[0], each)) for each in measured]
    marks = [""] * len(values)
    if any(differs):
        marks = [f" {_OTHER_PROTOCOL}" if each else "  " for each in differs]
    elif len(known) > 1 and metric.direction is not None and _is_comparable(name, measured):
        best = min(known) if metric.direction == "lower" else max(known)
        marks = [" *" if value == best else "  " for value in values]
    spreads = [each.deviations.get(name) for each in measured]
    cells = [_cell(*each) + mark for *each, mark in zip(values, spreads, marks, strict=True)]
    cells = [cell if name in each.scores else "stopped" for cell, each in zip(cells, measured, strict=True)]
    numbers = {_number(each, evaluation) for each in measured}
    features = measured[0].protocols.get(name, {}).get("features", {}).get("extractor")
    heading = metric.heading(numbers.pop(), features) if len(numbers) == 1 else metric.label
    return [f"{heading} {_ARROWS[metric.direction]}".rstrip(), *cells]


def _difference(name: str, first: Scores, other: Scores) -> list[str]:
    """What a score depends on that is different from the first one's, in words; nothing if they can be compared."""
    return differences(first.protocols.get(name, {}), other.protocols.get(name, {}))


def _number(each: Scores, evaluation: AnyEvaluation) -> int:
    """How many generated pictures the scores are of."""
    return evaluation.protocol["generated_images"] if isinstance(each, ModelScores) else each.pictures


def _heading(each: Scores) -> str:
    if not isinstance(each, ModelScores):
        return each.label
    remarks = [f"{len(each.runs)} runs"] * bool(each.runs) + ["hybrid"] * each.hybrid
    return f"{each.label} ({', '.join(remarks)})" if remarks else each.label


def _is_comparable(name: str, measured: Sequence[Scores]) -> bool:
    models = [each for each in measured if isinstance(each, ModelScores)]
    return all(catalog.find_metric(name).is_comparable(models[0], other) for other in models[1:])


def _cell(value: float | None, deviation: float | None = None) -> str:
    if value is None:
        return "not comparable"
    return f"{value:.4g}" if deviation is None else f"{value:.4g} ± {deviation:.2g}"


def _plain(value: float | None) -> str:
    return "nan" if value is None else f"{value:.6g}"
