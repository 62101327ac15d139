"""Measure the accuracy of the Fashion-MNIST classifier, and `fid-fashion` of real pictures.

    python benchmarks/fashion_judge.py [--data-dir DIR]

The script prints the accuracy of the classifier on the 10,000 test pictures, and the distance between them and 10,000
training pictures. No model can be expected to have a lower distance.
"""

import argparse
from pathlib import Path

import torch
from torchmetrics.image.fid import FrechetInceptionDistance

from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import Labels
from cvae_cli.evaluation.features.fashion_cnn import load_fashion_cnn

BATCH = 500
PICTURES = 10_000


@torch.inference_mode()
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    data_dir = parser.parse_args().data_dir

    judge = load_fashion_cnn(torch.device("cpu"))
    distance = FrechetInceptionDistance(feature=judge, antialias=False)
    test = load_dataset("fashion-mnist", "test", data_dir=data_dir)
    train = load_dataset("fashion-mnist", "train", data_dir=data_dir).sample(PICTURES, seed=0)
    right = 0
    for dataset in (test, train):
        assert isinstance(dataset.conditions, Labels)
        images = torch.from_numpy(dataset.images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1)
        for pictures, labels in zip(
            images.split(BATCH), torch.from_numpy(dataset.conditions.indices).split(BATCH), strict=True
        ):
            distance.update(pictures, real=dataset is test)
            if dataset is test:
                right += int((judge.classify(pictures).argmax(1) == labels).sum())
    print(f"accuracy on test pictures\t{right / len(test):.4f}")
    print(f"fid-fashion of {PICTURES:,} training pictures\t{distance.compute():.4f}")


if __name__ == "__main__":
    main()
