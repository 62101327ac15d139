"""Stream small pictures from shards made for it: speed beside WebDataset's own loader, first batch, memory.

    python benchmarks/stream.py                    1,000,000 pictures of 64x64 in 100 shards, 3.7 GB, removed afterwards
    python benchmarks/stream.py --pictures 20000   a part of them

Both loaders decode with the same function, in as many processes, in turns. Each turn is a number of batches. Those
before it are not timed: a loader whose turn has ended reads a little ahead, which takes time from the other one, and
would be a gift in its own next turn.
"""

import argparse
import io
import os
import statistics
import tarfile
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import webdataset
from PIL import Image

from cvae_cli.data.stream_batches import StreamBatches
from cvae_cli.data.stream_source import open_stream
from cvae_cli.events import ignore
from cvae_cli.pictures.opening import open_content
from cvae_cli.text.condition import with_conditions

SIZE = 64
READY = 12  # batches, more than either loader reads ahead


def make(folder: Path, pictures: int, each: int) -> None:
    """Write shards of JPEGs of about 2 kB with a class each: 500 different ones, over and over."""
    random = np.random.default_rng(0)
    files = []
    for _ in range(500):
        small = Image.fromarray(random.integers(0, 256, (10, 10, 3), np.uint8))
        file = io.BytesIO()
        small.resize((SIZE, SIZE), Image.Resampling.BICUBIC).save(file, "JPEG", quality=90)
        files.append(file.getvalue())
    print(f"a picture has {statistics.mean(map(len, files)):,.0f} bytes")
    for shard in range(-(-pictures // each)):
        with tarfile.open(folder / f"{shard:06}.tar", "w") as tar:
            for number in range(shard * each, min(pictures, (shard + 1) * each)):
                for ending, content in (("jpg", files[number % 500]), ("cls", b"%d" % (number % 10))):
                    header = tarfile.TarInfo(f"{number:09}.{ending}")
                    header.size = len(content)
                    tar.addfile(header, io.BytesIO(content))


def decode(sample: dict) -> tuple[torch.Tensor, int]:
    picture = open_content(sample["jpg"], "picture", size=SIZE, channels=3)
    return torch.from_numpy(np.asarray(picture).copy()), int(sample["cls"])


def theirs(folder: Path, batch: int, workers: int) -> Iterator[object]:
    """WebDataset's own loader: torch's DataLoader with as many processes."""
    shards = sorted(map(str, folder.glob("*.tar")))
    dataset = webdataset.WebDataset(shards, shardshuffle=len(shards), nodesplitter=None, seed=0)
    data = dataset.shuffle(10_000 // workers, initial=2500 // workers).map(decode).batched(batch)
    return iter(webdataset.WebLoader(data, batch_size=None, num_workers=workers))


def rate(batches: Iterator[object], n: int, batch: int) -> float:
    """Return the pictures a second of `n` batches, after those that are ready."""
    for _ in range(READY):
        next(batches)
    begun = time.perf_counter()
    for _ in range(n):
        next(batches)
    return n * batch / (time.perf_counter() - begun)


def memory() -> int:
    """The memory of this process and its children in MB, as Linux counts what is their own."""
    total = 0
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children").read_text().split()
    for process in [str(os.getpid()), *children]:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        total += next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
    return total // 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=10_000, help="pictures in a shard")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--readers", type=int, default=4)
    parser.add_argument("--turns", type=int, default=5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make(folder, asked.pictures, asked.shard)
        begun = time.perf_counter()
        data, _ = open_stream(f"webdataset:{folder}", size=SIZE, holdout=500, readers=asked.readers, callback=ignore)
        data = with_conditions(data, None)
        ours = StreamBatches(data, batch_size=asked.batch, device=torch.device("cpu")).epoch(0)
        next(ours)
        print(f"the first batch came after {time.perf_counter() - begun:.1f} s")
        other = theirs(folder, asked.batch, asked.readers)
        next(other)
        n = max(1, min(200, (data.pictures // asked.batch - 2) // (asked.turns + 1) - READY))
        ratios = []
        for _ in range(asked.turns):
            mine, library = rate(ours, n, asked.batch), rate(other, n, asked.batch)
            ratios.append(mine / library)
            print(f"{mine:,.0f} images/s, WebDataset's loader {library:,.0f}: {ratios[-1]:.2f}", flush=True)
        print(f"median ratio {statistics.median(ratios):.2f}")
        del other
        seen, begun = (asked.turns * (READY + n) + 1) * asked.batch, time.perf_counter()
        memories = [memory()]
        for number, _ in enumerate(ours, 1):
            if number % max(1, data.pictures // asked.batch // 10) == 0:
                memories.append(memory())
        left = data.pictures - seen
        print(f"the other {left:,} pictures: {left / (time.perf_counter() - begun):,.0f} images/s")
        print(f"memory on the way, MB: {memories}")


if __name__ == "__main__":
    main()
