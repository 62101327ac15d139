"""Measure how `fid-fashion` depends on the number of pictures.

    python benchmarks/sample_numbers.py [--model fashion] [--data-dir DIR]

The script prints the distance of the same number of samples, or of training pictures, and test pictures: the mean of
five random choices.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from cvae_cli import CVAE
from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.frechet import frechet_distance
from cvae_cli.evaluation.streams import BATCH_SIZE, samples

CPU = torch.device("cpu")
NUMBERS = [256, 500, 1000, 2000, 2560, 5000, 10_000]
CHOICES = 5


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()

    model, context = CVAE.from_pretrained(options.model), Context(CPU)
    judge = context.extractor("fashion")
    test, train = (load_dataset("fashion-mnist", split, data_dir=options.data_dir) for split in ("test", "train"))
    batches = list(samples(model, Batches(test, batch_size=BATCH_SIZE, device=CPU), context))
    real = torch.cat([batch.real.features(judge) for batch in batches])
    generated = torch.cat([batch.generated.features(judge) for batch in batches])
    pictures = torch.from_numpy(train.sample(2 * len(test), seed=0).images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
    trained = torch.cat([judge.network(part) for part in pictures.split(BATCH_SIZE)])
    print(f"pictures\ta feature\tsamples of {model.config.name}\ttraining pictures")
    for n in NUMBERS:
        means = [sum(distances(rows, real, n)) / CHOICES for rows in (generated, trained)]
        print(f"{n:,}\t{n / judge.num_features:.1f}\t{means[0]:.4f}\t{means[1]:.4f}", flush=True)


def distances(rows: Tensor, real: Tensor, n: int) -> Iterator[float]:
    """The distances of random choices of `n` rows each."""
    random = torch.Generator().manual_seed(0)
    for _ in range(CHOICES):
        one, other = (torch.randperm(len(part), generator=random)[:n] for part in (rows, real))
        yield frechet_distance(rows[one], real[other])


if __name__ == "__main__":
    main()
