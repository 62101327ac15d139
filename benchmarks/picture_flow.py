"""Train a flow of pictures around the decoder's: p(x | z) that has the detail which its mean lacks.

    python benchmarks/picture_flow.py MODEL flow.safetensors --data folder:DIR --minutes 90
    python benchmarks/photo_judge.py --data folder:DIR --heads FILE --model MODEL --flow flow.safetensors

A Gaussian p(x | z) has a mean m(z), which is blurred where z does not say what is there, and noise of one standard
deviation s. Samples with this noise look worse than the mean. Here that Gaussian is the base of a flow: the noisy
picture m(z) + s e is led to a sharp one by a network that knows m(z) and the time (flow matching, Lipman et al. 2023,
with pairs of base and data that belong together as in Albergo et al. 2024, arXiv 2310.03725). Both ends of a path are
one picture, so paths are short and a few steps are enough. No other network has a part in it, so a pure CVAE stays one.

Progress goes by the clock: a faster machine makes more steps in the same minutes.
"""

import argparse
import math
from itertools import pairwise
from pathlib import Path

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn
from torch.nn import functional as F
from train_bundled import Average, Schedule, take_step

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.residual import GroupNorm, Stage
from cvae_cli.models.tensors import named_tensors, write_tensors
from cvae_cli.models.velocity import _embed_time
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.text.condition import with_model_conditions

CODE, FULL_WIDTH = 128, 16
BATCH, RATE, DECAY = 16, 1e-3, 0.999
STEPS = 6  # of the midpoint method, with two calls of the network each


class PictureFlow(nn.Module):
    """A small U-shaped network: colour pictures and the decoder's means, both in [0, 1], to velocities.

    Args:
        widths: channels at half of the side, at a quarter, and so on.
        blocks: residual blocks at each size, on the way down and on the way up.
    """

    deviation: Tensor

    def __init__(self, widths: tuple[int, ...] = (32, 64), blocks: int = 2) -> None:
        super().__init__()
        self.register_buffer("deviation", torch.tensor(0.06))
        self.time = nn.Sequential(nn.Linear(128, CODE), nn.SiLU(), nn.Linear(CODE, CODE))
        self.read = nn.Conv2d(4 * 6, widths[0], 3, padding=1)
        self.encoder = nn.ModuleList(Stage(width, CODE, blocks) for width in widths)
        self.decoder = nn.ModuleList(Stage(width, CODE, blocks) for width in widths)
        self.downs = nn.ModuleList(nn.Conv2d(4 * large, small, 1) for large, small in pairwise(widths))
        self.ups = nn.ModuleList(nn.Conv2d(small, 4 * large, 1) for large, small in pairwise(widths))
        self.write = nn.Sequential(
            GroupNorm(8, widths[0]), nn.SiLU(), nn.Conv2d(widths[0], 4 * FULL_WIDTH, 3, padding=1)
        )
        self.join = nn.Conv2d(FULL_WIDTH + 6, 24, 3, padding=1)
        self.last = nn.Conv2d(24, 3, 3, padding=1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, x: Float[Tensor, "b 3 s s"], mean: Float[Tensor, "b 3 s s"], t: Float[Tensor, " b"]
    ) -> Float[Tensor, "b 3 s s"]:
        """Return the velocity at `x` and the time, in units of the standard deviation."""
        both = 2 * torch.cat([x, mean], 1) - 1
        code = F.silu(self.time(_embed_time(t)))
        y = self.read(F.pixel_unshuffle(both, 2))
        skipped = []
        for level, stage in enumerate(self.encoder):
            y = stage(y, code)
            if level < len(self.downs):
                skipped.append(y)
                y = self.downs[level](F.pixel_unshuffle(y, 2))
        for level in reversed(range(len(self.decoder))):
            if level < len(self.ups):
                y = F.pixel_shuffle(self.ups[level](y), 2) + skipped[level]
            y = self.decoder[level](y, code)
        y = F.pixel_shuffle(self.write(y), 2)
        return self.last(F.silu(self.join(torch.cat([y, both], 1))))

    def error(self, images: Tensor, mean: Tensor, t: Tensor, noise: Tensor) -> Float[Tensor, " b"]:
        """Return the error of the velocity between a picture and its noisy mean, the mean over its pixels."""
        base = mean + self.deviation * noise
        x = base + t.view(-1, 1, 1, 1) * (images - base)
        wanted = (images - base) / self.deviation
        return (self(x, mean, t) - wanted).square().mean((1, 2, 3))

    @torch.inference_mode()
    def sample(self, mean: Float[Tensor, "b 3 s s"], noise: Float[Tensor, "b 3 s s"]) -> Float[Tensor, "b 3 s s"]:
        """Lead noisy means to pictures."""
        x, length = mean + self.deviation * noise, 1 / STEPS
        for step in range(STEPS):
            t = torch.full((len(x),), step * length, device=x.device)
            middle = x + 0.5 * length * self.deviation * self(x, mean, t)
            x = x + length * self.deviation * self(middle, mean, t + 0.5 * length)
        return x.clamp(0, 1)


def rebuilt(model: CVAE, names: list[str], device: torch.device) -> tuple[UInt8[Tensor, "..."], UInt8[Tensor, "..."]]:
    """Return training pictures, every second batch mirrored, and what the decoder makes of their latents."""
    pairs = []
    for name in names:
        data = with_model_conditions(load_dataset(name, "train", size=model.config.image.size), model.config.condition)
        for number, (images, condition) in enumerate(Batches(data, batch_size=32, device=device).in_order()):
            whole = images.flip(3) if number % 2 else images
            noise = torch.randn(len(whole), *model.latent_shape, device=device)
            mean = model.reconstruct(whole, condition, noise=noise)
            pairs.append([to_uint8(each).permute(0, 3, 1, 2) for each in (whole, mean)])
    pictures, means = (torch.cat(each) for each in zip(*pairs, strict=True))
    return pictures, means


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", action="append", required=True, help="repeatable")
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--batch", type=int, default=BATCH)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device(options.device)
    model = CVAE.from_pretrained(options.model).to(device).eval()
    pictures, means = rebuilt(model, options.data, device)
    flow = PictureFlow().to(device).to(memory_format=torch.channels_last)
    flow.deviation.fill_(math.sqrt(float(((pictures.float() - means.float()) / 255).square().mean())))
    print(f"{len(pictures):,} pictures, standard deviation {float(flow.deviation):.4f}", flush=True)
    parameters = list(flow.parameters())
    optimizer = torch.optim.AdamW(parameters, weight_decay=1e-4, betas=(0.9, 0.99))
    average, schedule = Average(flow, DECAY), Schedule(optimizer, RATE, options.minutes)
    while schedule.goes_on():
        rows = torch.randint(len(pictures), (options.batch,), device=device)
        x, mean = (
            (each[rows].float() / 255).contiguous(memory_format=torch.channels_last) for each in (pictures, means)
        )
        if torch.rand(()) < 0.5:
            x, mean = x.flip(3), mean.flip(3)
        t = torch.rand(len(x), device=device)
        loss = flow.error(x, mean, t, torch.randn_like(x)).mean()
        take_step(optimizer, loss, parameters)
        average.update(schedule.step)
        schedule.tell(loss=loss)
    flow.load_state_dict(average.mean)
    write_tensors(options.out, named_tensors(flow))
    print(f"{schedule.step:,} steps", flush=True)


if __name__ == "__main__":
    main()
