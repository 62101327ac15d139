"""What `cvae evaluate` shows of an evaluation."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_cli import console
from cvae_cli.evaluation import gates

if TYPE_CHECKING:
    from cvae_cli.evaluation.result import Evaluation, SetEvaluation


def show(evaluation: "Evaluation | SetEvaluation", conditions: Sequence[gates.Gate], *, csv: bool) -> None:
    """Print the scores: as a table, JSON, CSV, or lines for a pipe."""
    from cvae_cli.evaluation import report

    warnings = report.caveats(evaluation.measured, evaluation.metrics)
    if csv:
        for text in warnings:
            console.warn(text)
        return console.result(None, report.csv_lines(evaluation))
    return console.table(
        {**evaluation.to_dict(), **gates.results(evaluation, conditions)},
        columns=report.columns(evaluation),
        rows=report.rows(evaluation),
        plain=report.plain_rows(evaluation),
        footer=report.footer(evaluation),
        warnings=warnings,
    )
