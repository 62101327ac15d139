"""What `cvae evaluate` shows of an evaluation."""

import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli import console
from cvae_cli.evaluation import gates
from cvae_cli.runtime import launch

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


def write_cards(evaluation: "Evaluation | SetEvaluation") -> None:
    """Write the scores into the cards of the models; of several processes, the first one does."""
    from cvae_cli.evaluation.card_scores import write_scores
    from cvae_cli.evaluation.result import Evaluation

    if launch.rank_and_size()[0] == 0 and isinstance(evaluation, Evaluation):
        for path in write_scores(evaluation):
            console.note(f"scores written into {path}")


def write_report(evaluation: "Evaluation | SetEvaluation", path: Path, *, data_dir: Path | None, device: str) -> None:
    """Write the page of `--report`; of several processes, the first one does."""
    from cvae_cli.evaluation.page import write_page
    from cvae_cli.evaluation.result import Evaluation

    if launch.rank_and_size()[0] != 0 or not isinstance(evaluation, Evaluation):
        return
    with console.events("writing the report") as callback:
        command = shlex.join(["cvae", *sys.argv[1:]])
        write_page(evaluation, path, data_dir=data_dir, device=device, command=command, callback=callback)
    console.note(f"report in {path}")
