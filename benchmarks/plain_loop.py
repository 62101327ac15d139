"""Train the article's Fashion-MNIST model with a plain PyTorch loop, the baseline of the benchmarks.

    python benchmarks/plain_loop.py --epochs 20 --out plain --data-dir DIR

The training uses the article's network (label concatenated), the sum of cross-entropy and KL divergence, Adam at 1e-3,
batches of 128 from a shuffling DataLoader, eager fp32, and all 60,000 training pictures. It prints one line per epoch
and writes a model that `cvae evaluate` reads, so that both models are measured in the same way.
"""

import argparse
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import DataLoader, TensorDataset

from cvae_cli import CVAE
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.network import Network
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model

BATCH, RATE = 128, 1e-3


def steps(network: Network, loader: DataLoader[tuple[Tensor, ...]]) -> Iterator[float]:
    """Train without end, one step per iteration, and yield the loss of each step: -ELBO per image, in nats."""
    optimizer = torch.optim.Adam(network.parameters(), lr=RATE)
    device = next(network.parameters()).device
    while True:
        for images, conditions in loader:
            x, y = images.to(device), conditions.to(device)
            mean, log_variance = network.encode(x, y)
            z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
            output = network.decode(z, y)
            distortion = F.binary_cross_entropy_with_logits(output, x, reduction="sum")
            rate = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
            loss = (distortion + rate) / len(x)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield loss.item()


def loader_of(data: Dataset, batch_size: int = BATCH) -> DataLoader[tuple[Tensor, ...]]:
    """Return a shuffling DataLoader over floats in memory, as in most training loops."""
    images = torch.from_numpy(data.images).permute(0, 3, 1, 2).float() / 255
    conditions = torch.from_numpy(data.conditions.values(data.rows))
    return DataLoader(TensorDataset(images, conditions), batch_size=batch_size, shuffle=True, drop_last=True)


def train(epochs: int, data_dir: Path | None) -> tuple[CVAE, float]:
    """Train the model, and return it with the time in seconds, including reading the pictures."""
    began = time.perf_counter()
    data = load_dataset("fashion-mnist", "train", data_dir=data_dir)
    loader = loader_of(data)
    model = build_model(load_recipe("fashion-concat"), data.name, data.image_shape, condition_config(data)).train()
    losses = steps(model.network, loader)
    for epoch in range(epochs):
        mean = sum(next(losses) for _ in range(len(loader))) / len(loader)
        print(f"epoch {epoch + 1}: -ELBO {mean:.2f}, {time.perf_counter() - began:.0f} s", flush=True)
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
