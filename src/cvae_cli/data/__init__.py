"""Data sets: pictures and their conditions, as arrays."""

from cvae_cli.data.dataset import Dataset, check_name, load_dataset, names

__all__ = ["Dataset", "check_name", "load_dataset", "names"]
