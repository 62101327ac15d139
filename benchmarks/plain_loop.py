"""The article's Fashion-MNIST training as a plain PyTorch loop: what the benchmarks measure `cvae train` against.

    python benchmarks/plain_loop.py --epochs 20 --out plain --data-dir DIR

Its network (label concatenated), summed cross-entropy and divergence, Adam at 1e-3, batches of 128 from a shuffling
DataLoader, eager, fp32, all 60,000 training pictures. It prints a line an epoch and leaves a model that `cvae evaluate`
reads, so that both are measured alike.
"""

import argparse
import time
from pathlib import Path

import torch
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from cvae_cli import CVAE, recipes
from cvae_cli.data import load_dataset
from cvae_cli.text.condition import settings_of
from cvae_cli.training.build import build_model

BATCH, RATE = 128, 1e-3


def train(epochs: int, data_dir: Path | None, *, steps: int | None = None) -> tuple[CVAE, float]:
    """The trained model, and the seconds it took, reading the pictures included.

    Args:
        steps: stop after so many, for a measurement of speed.
    """
    began = time.perf_counter()
    data = load_dataset("fashion-mnist", "train", data_dir=data_dir)
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
    labels = torch.from_numpy(data.conditions.draw(data.rows))
    loader = DataLoader(TensorDataset(images, labels), batch_size=BATCH, shuffle=True)
    model = build_model(recipes.load("fashion-concat"), data.name, data.image_shape, settings_of(data)).train()
    network = model.network
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    taken = 0
    for epoch in range(epochs):
        total = 0.0
        for x, y in loader:
            mean, log_variance = network.encode(x, y)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            output = network.decode(z, y)
            distortion = F.binary_cross_entropy_with_logits(output, x, reduction="sum")
            rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (distortion + rate) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            total += loss.item() * len(x)
            taken += 1
            if taken == steps:
                return model, time.perf_counter() - began
        print(f"epoch {epoch + 1}: -ELBO {total / len(data):.2f}, {time.perf_counter() - began:.0f} s", flush=True)
    return model, time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--out", type=Path, required=True, help="folder for the model")
    options = parser.parse_args()
    model, seconds = train(options.epochs, options.data_dir)
    model.save_pretrained(options.out)
    print(f"{seconds:.1f}")


if __name__ == "__main__":
    main()
