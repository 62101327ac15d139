"""Which options of `cvae evaluate` go together."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cvae_cli.data.catalog import is_known
from cvae_cli.errors import UsageError


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
