"""Data sets: pictures and their conditions, as arrays."""

from typing import TYPE_CHECKING, Any

__all__ = ["Dataset", "check_name", "evaluation_split", "full_name", "load_dataset", "names"]

if TYPE_CHECKING:
    from cvae_cli.data.dataset import Dataset, check_name, evaluation_split, full_name, load_dataset, names


def __getattr__(name: str) -> Any:
    # The processes that decode pictures are of this package, and start sooner without what a data set needs.
    if name in __all__:
        from cvae_cli.data import dataset

        return getattr(dataset, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
