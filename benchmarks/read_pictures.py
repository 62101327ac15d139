"""Measure how fast training reads pictures: from the prepared cache, and from files with torch's DataLoader.

    python benchmarks/read_pictures.py --data-dir FOLDER [--size 64] [--batch 128] [--epochs 5]

FOLDER is any folder that `folder:FOLDER` accepts. The cache is built in a temporary folder with one process per core.
Shuffled batches are then read from it, with a vector of 256 numbers for each caption. The DataLoader opens the same
files with torchvision's transforms and one worker per core. The two alternate, and the numbers are medians. The last
line is the ratio of pictures per second, cache to DataLoader.
"""

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import Labels
from cvae_cli.data.folder import Folder

WIDTH = 256  # dimensions of a caption's vector
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Files(torch.utils.data.Dataset):
    """The pictures as torchvision reads them, each with a condition."""

    def __init__(self, paths: list[Path], size: int) -> None:
        self.paths = paths
        self.transform = transforms.Compose(
            [transforms.Resize(size), transforms.CenterCrop(size), transforms.ToTensor()]
        )

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with Image.open(self.paths[index]) as picture:
            return self.transform(picture.convert("RGB")), index


def rate(batches: Iterator[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """Return pictures per second, including the start of workers."""
    started = time.perf_counter()
    pictures = sum(len(images) for images, _ in batches)
    return pictures / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, required=True)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    name = f"folder:{options.data_dir}"

    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as home:
        os.environ["CVAE_HOME"] = home
        listing = Folder(name).list_pictures("train")
        files = Files([listing.root / file for file in listing.files], options.size)
        for path in files.paths:
            path.read_bytes()  # warm the file cache, so that neither waits for the disk
        started = time.perf_counter()
        dataset = load_dataset(name, "train", size=options.size)
        seconds = time.perf_counter() - started
        print(f"preparing {len(dataset):,} pictures at {options.size}x{options.size}, {CORES} processes")
        print(f"  {len(dataset) / seconds:10,.0f} img/s  ({seconds:.1f} s, once)")
        if not isinstance(dataset.conditions, Labels):
            vectors = np.random.default_rng(0).standard_normal((len(dataset.conditions.sentences), WIDTH))
            captions = replace(dataset.conditions, vectors=vectors.astype(np.float16))
            dataset = replace(dataset, conditions=captions)

        batches = Batches(dataset, batch_size=options.batch, device=torch.device("cpu"))
        loader = DataLoader(files, batch_size=options.batch, shuffle=True, num_workers=CORES, drop_last=True)
        cached, loaded = [], []
        for epoch in range(options.epochs):
            cached.append(rate(batches.epoch(epoch)))
            loaded.append(rate(iter(loader)))
        for what, rates in (("the cache", cached), (f"a DataLoader with {CORES} workers", loaded)):
            print(f"reading batches of {options.batch} from {what}")
            print(f"  {statistics.median(rates):10,.0f} img/s  ({min(rates):,.0f} to {max(rates):,.0f})")
        print(f"{statistics.median(cached) / statistics.median(loaded):.1f}x")


if __name__ == "__main__":
    main()
