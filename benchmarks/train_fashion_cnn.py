"""Train the Fashion-MNIST classifier that evaluates samples, and write it into the package.

    python benchmarks/train_fashion_cnn.py [--data-dir DIR] [--epochs 20] [--out FILE]

The last line is its accuracy on the 10,000 test pictures, which are not used for training.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional as F

from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import Labels
from cvae_cli.evaluation.features.fashion_cnn import VERSION, WEIGHTS, FashionCNN
from cvae_cli.models.tensors import named_tensors, write_tensors

BATCH = 128
PEAK_RATE = 0.1
SIZE = 28  # pixels


def augment(images: torch.Tensor) -> torch.Tensor:
    """Mirror half of the pictures, and shift each by up to two pixels in each direction."""
    mirrored = torch.where((torch.rand(len(images)) < 0.5).view(-1, 1, 1, 1), images.flip(3), images)
    windows = F.pad(mirrored, (2, 2, 2, 2)).unfold(2, SIZE, 1).unfold(3, SIZE, 1)  # (n, 1, 5, 5, 28, 28)
    rows, columns = torch.randint(0, 5, (2, len(images)))
    return windows[torch.arange(len(images)), :, rows, columns]


@torch.inference_mode()
def accuracy(network: FashionCNN, images: torch.Tensor, labels: torch.Tensor) -> float:
    network.eval()
    predicted = torch.cat([network.classify(batch).argmax(1) for batch in images.split(500)])
    return (predicted == labels).double().mean().item()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()

    torch.manual_seed(0)
    splits = {name: load_dataset("fashion-mnist", name, data_dir=options.data_dir) for name in ("train", "test")}
    images, test_images = (torch.from_numpy(s.images).permute(0, 3, 1, 2) for s in splits.values())
    labels, test_labels = (
        torch.from_numpy(s.conditions.indices) for s in splits.values() if isinstance(s.conditions, Labels)
    )

    network = FashionCNN().to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), PEAK_RATE, momentum=0.9, weight_decay=5e-4, nesterov=True)
    steps = options.epochs * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK_RATE, total_steps=steps)
    for epoch in range(options.epochs):
        network.train()
        for chosen in torch.randperm(len(images))[: len(images) // BATCH * BATCH].split(BATCH):
            with torch.autocast("cpu", torch.bfloat16):
                logits = network.classify(augment(images[chosen]))
            loss = F.cross_entropy(logits.float(), labels[chosen], label_smoothing=0.1)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = accuracy(network, test_images, test_labels)
        print(f"epoch {epoch + 1}/{options.epochs}  test accuracy {score:.4f}", flush=True)

    # measure the weights in half precision, because these ship
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in named_tensors(network).items()}
    for name, tensor in named_tensors(network).items():
        tensor.data.copy_(rounded[name])
    score = accuracy(network, test_images, test_labels)
    facts = {"version": VERSION, "test_accuracy": f"{score:.4f}", "epochs": str(options.epochs)}
    write_tensors(options.out, rounded, facts)
    print(f"{score:.4f}")


if __name__ == "__main__":
    main()
