"""Conditions on scores, as in `--fail-if "fid>60"`: a script stops when a score is not good enough.

Importing this module is cheap, so that a condition that cannot be read is said at once.
"""

import math
import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cvae_cli.errors import GateError, UsageError, quoted
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.result import Evaluation, Scores, SetEvaluation

_COMPARE = {">": operator.gt, ">=": operator.ge, "<": operator.lt, "<=": operator.le}
_CONDITION = re.compile(r"\s*([^\s<>=!]+)\s*(>=|<=|>|<)\s*([^\s<>=!]+)\s*")
_EXAMPLE = 'for example:  --fail-if "fid>60"  (without the quotes the shell takes > for a file)'


@dataclass(frozen=True)
class Gate:
    """A condition under which an evaluation fails.

    Attributes:
        metric: the name of the metric.
        comparison: one of `>`, `>=`, `<` and `<=`.
        limit: what the score is compared with.
    """

    metric: str
    comparison: str
    limit: float

    def __str__(self) -> str:
        return f"{self.metric}{self.comparison}{self.limit:.10g}"

    def fails(self, measured: Scores) -> bool:
        """Whether the score of a model or set meets the condition. A score without a value always fails."""
        score = self.score(measured)
        return score is None or bool(_COMPARE[self.comparison](score, self.limit))

    def score(self, measured: Scores) -> int | float | None:
        """The score that the condition is about; None if it has no value."""
        score = measured.scores.get(self.metric)
        return None if score is None or math.isnan(score) else score

    def describe(self, measured: Scores) -> str:
        """Return how a score fails, in a sentence."""
        score = self.score(measured)
        value = "has no value" if score is None else f"is {score:.6g}"
        return f'{self.metric} of {measured.label} {value} (--fail-if "{self}")'


def parse_gates(texts: Sequence[str]) -> list[Gate]:
    """Read conditions such as `fid>60`; each once.

    Raises:
        UsageError: a text is no condition, or there is no metric of the name.
    """
    return list(dict.fromkeys(map(_parse, texts)))


def measured_names(metrics: Sequence[str], gates: Sequence[Gate]) -> list[str]:
    """Return the names of the metrics, and of those that only a condition names: these are measured too."""
    return list(dict.fromkeys([*metrics, *(gate.metric for gate in gates)]))


def check_gates(evaluation: Evaluation | SetEvaluation, gates: Sequence[Gate]) -> None:
    """Raise a GateError if one of the conditions is met; it says by which scores."""
    if failed := [gate.describe(each) for gate in gates for each in evaluation.measured if gate.fails(each)]:
        raise GateError(failed[0], hint="\n".join(failed[1:]) or None)


def results(evaluation: Evaluation | SetEvaluation, gates: Sequence[Gate]) -> dict[str, Any]:
    """Return the entry of the JSON document that says which conditions are met, and by what; nothing without any."""
    found = [
        {"condition": str(gate), "failed": [each.label for each in evaluation.measured if gate.fails(each)]}
        for gate in gates
    ]
    return {"gates": found} if found else {}


def doubts(gates: Sequence[Gate]) -> list[str]:
    """Return a sentence for each condition that better scores meet, and not worse ones. It imports torch."""
    bad = {"lower": ">", "higher": "<"}
    found = [(gate, catalog.find_metric(gate.metric).direction) for gate in gates]
    return [
        f'{gate.metric}: {direction} is better, so --fail-if "{gate}" fails for good scores'
        for gate, direction in found
        if direction is not None and not gate.comparison.startswith(bad[direction])
    ]


def _parse(text: str) -> Gate:
    match = _CONDITION.fullmatch(text)
    if match is None:
        raise UsageError(f"{quoted(text)} is not a condition: a metric, one of > >= < <=, and a number", hint=_EXAMPLE)
    metric, comparison, number = match.groups()
    catalog.check_names([metric])
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not math.isfinite(limit):
        raise UsageError(f"{quoted(number)} in {quoted(text)} is not a finite number", hint=_EXAMPLE)
    return Gate(metric, comparison, limit)
