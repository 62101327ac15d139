"""Which options of `cvae evaluate` go together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cvae_cli.data.catalog import is_known
from cvae_cli.errors import UsageError
from cvae_cli.paths import check_writable


def check_sets(
    generated: Sequence[str] | None,
    real: str | None,
    reference: Path | None,
    *,
    of_model: Mapping[str, object],
    split: str | None,
) -> None:
    """Raise a UsageError if options of sets of pictures and of models are mixed.

    Args:
        of_model: options that are for models only, and whether they are given.
    """
    if not generated:
        for option, value in (("--real", real), ("--reference", reference)):
            if value is not None:
                raise UsageError(
                    f"{option} is for --generated", hint="a model is measured on a data set:  --dataset NAME"
                )
        return
    for option, is_given in of_model.items():
        if is_given:
            raise UsageError(f"{option} is for models: --generated measures pictures without one")
    sources = [*generated, *([real] if real is not None else [])]
    if split is not None and not any(map(is_known, sources)):
        raise UsageError("--split is for data sets", hint="a folder's splits:  --real folder:PATH --split test")
    if len(set(generated)) < len(generated):
        raise UsageError("--generated has the same pictures twice")


def check_written(report: Path | None, card: bool, models: Sequence[str]) -> None:
    """Raise a UsageError if the report, or the scores in the cards of models, cannot be written."""
    from cvae_cli.models.pretrained import CARD, bundled_models, find_model
    from cvae_cli.models.seeds import seed_runs

    if report is not None:
        from cvae_cli.evaluation.page import check_page  # takes a tenth of the time of --help

        check_page(report)
    for model in models if card or report is not None else ():
        if seed_runs(model):
            option = "--card" if card else "--report"
            raise UsageError(
                f"{option} is for single models; {model} has several runs", hint=f"name one:  {model}/seed-0"
            )
    for model in models if card else ():
        if model in bundled_models() or not Path(model).exists():
            owner = "which ships with cvae" if model in bundled_models() else "a model of the Hub"
            raise UsageError(
                f"--card cannot change {model}, {owner}", hint="--card is for models in folders of your own"
            )
        check_writable(find_model(model) / CARD)
