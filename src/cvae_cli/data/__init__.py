"""Data sets: pictures and their conditions, as arrays."""

from cvae_cli.data.dataset import Dataset, load_dataset, names

__all__ = ["Dataset", "load_dataset", "names"]
