"""The scores in a model card: in its header, in the `model-index` of the Hub, and as a table below."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from cvae_cli.models.card.document import cell, parse_card, put_section, render_card

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, ModelCard

SECTION = "Scores"
_ARROWS = {"lower": " ↓", "higher": " ↑"}


def make_result(
    *, metric: str, label: str, value: float, better: str | None, dataset: str, split: str, protocol: str
) -> "EvalResult":
    """Return a score in the form of the Hub.

    Args:
        metric: the name that `cvae evaluate --metric` takes.
        label: the name for people.
        better: "lower" or "higher"; None if neither is better.
        protocol: what the score depends on, in a line.
    """
    from huggingface_hub import EvalResult

    return EvalResult(
        task_type="text-to-image",
        task_name="text-to-image",
        dataset_type=dataset,
        dataset_name=dataset,
        dataset_split=split,
        metric_type=metric,
        metric_name=label,
        metric_value=float(f"{value:.6g}"),
        metric_args={"better": better or "neither", "protocol": protocol},
    )


def put_results(card: "ModelCard", results: Sequence["EvalResult"], *, name: str) -> None:
    """Add scores to a card. One of the same metric, data set and split is replaced.

    Args:
        name: of the model, for a card that does not say it.
    """
    merged = {_key(each): each for each in [*card.data.get("eval_results", []), *results]}
    if merged:
        card.data["eval_results"] = list(merged.values())
        card.data["model_name"] = card.data.get("model_name", name)
        card.data["metrics"] = sorted({each.metric_type for each in merged.values()})
        put_section(card, SECTION, _table(list(merged.values())))


def add_results(text: str, results: Sequence["EvalResult"], *, name: str) -> str:
    """Return a model card with these scores added; see `put_results`."""
    card = parse_card(text)
    put_results(card, results, name=name)
    return render_card(card)


def _key(result: "EvalResult") -> tuple[str, str | None, str]:
    return result.dataset_type, result.dataset_split, result.metric_type


def _table(results: Sequence["EvalResult"]) -> str:
    rows = ["| metric | value | measured on | protocol |", "| --- | --- | --- | --- |"]
    for each in results:
        about = each.metric_args or {}
        name = f"{each.metric_name or each.metric_type}{_ARROWS.get(about.get('better', ''), '')}"
        where = f"{each.dataset_name}, {each.dataset_split or 'all'}"
        cells = (name, _number(each.metric_value), where, about.get("protocol", ""))
        rows.append(f"| {' | '.join(map(cell, cells))} |")
    return "\n".join(rows) + "\n\nArrows say which way is better. `cvae evaluate` measures all of this again."


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, int | float) else str(value)
