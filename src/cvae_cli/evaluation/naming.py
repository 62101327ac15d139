"""Short names for what is compared."""

from collections.abc import Sequence
from pathlib import Path


def distinct_labels(names: Sequence[str | Path]) -> list[str]:
    """Return a short label for each name: the last part of a path, or the whole if labels would be the same."""
    whole = list(map(str, names))
    short = [Path(name).name or Path(name).resolve().name or name for name in whole]
    if len(set(short)) == len(short):
        return short
    if len(set(whole)) == len(whole):
        return whole
    return [f"{number} {name}" for number, name in enumerate(whole, 1)]
