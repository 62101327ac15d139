"""Write the scores of models into their model cards."""

from pathlib import Path
from typing import TYPE_CHECKING

from cvae_cli.data.catalog import short_name
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.protocol import essentials
from cvae_cli.evaluation.result import Evaluation, ModelScores
from cvae_cli.models.card.scores import add_results, make_result
from cvae_cli.models.pretrained import CARD, find_model, read_config
from cvae_cli.models.save import write_card

if TYPE_CHECKING:
    from huggingface_hub import EvalResult


def write_scores(evaluation: Evaluation) -> list[Path]:
    """Write scores into the header and the table of each model's card, and return the cards.

    A score that a card has already for the same metric, data set and split is replaced.

    Raises:
        CorruptError: the header of a card, or the digests beside it, cannot be read.
    """
    written = []
    for scores in evaluation.models:
        assert scores.source is not None
        folder = find_model(scores.source)
        text = (folder / CARD).read_text(encoding="utf-8") if (folder / CARD).is_file() else ""
        write_card(folder, add_results(text, _results(scores), name=read_config(folder).name))
        written.append(folder / CARD)
    return written


def _results(scores: ModelScores) -> "list[EvalResult]":
    results = []
    for name, value in scores.scores.items():
        if value is None:
            continue
        metric, protocol = catalog.find_metric(name), scores.protocols[name]
        features = name.partition(":")[2]
        results.append(
            make_result(
                metric=name,
                label=f"{metric.label} on {features}" if features else metric.label,
                value=value,
                better=metric.direction,
                dataset=short_name(protocol["dataset"]),
                split=protocol["split"],
                protocol=essentials(protocol),
            )
        )
    return results
