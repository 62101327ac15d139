"""Measure what the article's MSE and SSIM say: of reconstructions, and of samples beside real pictures.

    python benchmarks/article_claims.py --model runs/fashion-concat --model fashion [--samples 2000] [--data-dir DIR]

For each model the script compares test pictures of Fashion-MNIST with their reconstructions (through a sample of the
posterior, as in the article), and samples with test pictures of the class that was asked for: with the nearest one by
squared error, and with a random one. Training pictures in the place of samples show what real pictures reach.
"""

import argparse
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from cvae_cli import CVAE, load_dataset
from cvae_cli.data.batches import Batches
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.reconstruction import closeness
from cvae_cli.evaluation.streams import BATCH_SIZE, reconstructions
from cvae_cli.pictures.pixels import to_float

CPU = torch.device("cpu")
Pictures = Float[Tensor, "n 1 28 28"]


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", action="append", required=True)
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--data-dir", type=Path)
    options = parser.parse_args()

    test, train = (load_dataset("fashion-mnist", split, data_dir=options.data_dir) for split in ("test", "train"))
    shown = test.sample(options.samples, seed=0)
    labels = classes_of(shown)
    print("pictures\tcompared with\tMSE, sum\tSSIM")
    for name in options.model:
        model = CVAE.from_pretrained(name)
        pairs = list(reconstructions(model, Batches(shown, batch_size=BATCH_SIZE, device=CPU), Context(CPU)))
        originals, decoded = (torch.cat([getattr(pair, of) for pair in pairs]) for of in ("images", "reconstructions"))
        show(f"reconstructions of {model.config.name}", "their originals", decoded, originals)
        compare(f"samples of {model.config.name}", model.sample(labels), labels, test)
    others = train.sample(options.samples, seed=0)
    compare("training pictures", pictures(others), classes_of(others), test)


def classes_of(data: Dataset) -> Tensor:
    """Return the class of each picture."""
    assert isinstance(data.conditions, Labels)
    return torch.from_numpy(data.conditions.indices)


def compare(name: str, images: Pictures, labels: Tensor, test: Dataset) -> None:
    """Compare pictures with test pictures of their classes: the nearest, and a random one."""
    real, classes = pictures(test), classes_of(test)
    random = torch.Generator().manual_seed(0)
    nearest, any_one = torch.empty_like(images), torch.empty_like(images)
    for label in labels.unique():
        mine, theirs = images[labels == label], real[classes == label]
        nearest[labels == label] = theirs[torch.cdist(mine.flatten(1), theirs.flatten(1)).argmin(1)]
        any_one[labels == label] = theirs[torch.randint(len(theirs), (len(mine),), generator=random)]
    show(name, "the nearest test picture of the class", images, nearest)
    show(name, "a random test picture of the class", images, any_one)


def show(name: str, other: str, images: Pictures, others: Pictures) -> None:
    scores = [closeness(a, b) for a, b in zip(images.split(BATCH_SIZE), others.split(BATCH_SIZE), strict=True)]
    mse, ssim = (torch.cat([each[metric] for each in scores]).mean().item() for metric in ("mse", "ssim"))
    print(f"{name}\t{other}\t{mse:.2f}\t{ssim:.3f}", flush=True)


def pictures(dataset: Dataset) -> Pictures:
    return to_float(torch.from_numpy(dataset.images))


if __name__ == "__main__":
    main()
