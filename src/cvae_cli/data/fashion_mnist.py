"""Fashion-MNIST: 60,000 + 10,000 grey pictures of 28x28 in ten classes (Xiao, Rasul & Vollgraf 2017)."""

from pathlib import Path

import numpy as np

from cvae_cli.config import LabelClass
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.idx import read_idx
from cvae_cli.download import Digest, Report, fetch
from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.paths import datasets_dir

SPLITS = {"train": "train", "test": "t10k"}

CLASSES = tuple(
    LabelClass(name=name, words=tuple(words.split(", ")))
    for name, words in {
        "t-shirt/top": "t-shirt, tshirt, tee, tee shirt, top, tank top, crop top, singlet, camisole",
        "trouser": "trouser, pants, jeans, slacks, leggings, chinos",
        "pullover": "pullover, sweater, hoodie, jumper, sweatshirt, jersey",
        "dress": "dress, gown, sundress, frock",
        "coat": "coat, jacket, overcoat, raincoat, parka, blazer, anorak, cardigan",
        "sandal": "sandal, flip flop, slipper, high heel",
        "shirt": "shirt, blouse, dress shirt, polo, polo shirt",
        "sneaker": "sneaker, shoe, trainer, running shoe, tennis shoe, plimsoll",
        "bag": "bag, handbag, purse, backpack, tote, satchel, rucksack",
        "ankle boot": "ankle boot, boot, bootie",
    }.items()
)


def load(split: str, *, data_dir: Path | None, report: Report) -> Dataset:
    """A split, from the four published `*-ubyte.gz` files; see `load_dataset`."""
    prefix = SPLITS[split]
    images = read_idx(_file(f"{prefix}-images-idx3-ubyte.gz", data_dir, report), dimensions=3)
    labels = read_idx(_file(f"{prefix}-labels-idx1-ubyte.gz", data_dir, report), dimensions=1)
    if len(images) != len(labels):
        raise CorruptError(f"fashion-mnist {split}: {len(images):,} pictures but {len(labels):,} labels")
    if len(images) == 0 or images.shape[1:] != (28, 28) or labels.max() >= len(CLASSES):
        raise CorruptError(f"fashion-mnist {split}: not pictures of 28x28 in {len(CLASSES)} classes")
    return Dataset(
        name="fashion-mnist",
        split=split,
        images=images[..., np.newaxis],  # (n, 28, 28, 1)
        labels=labels.astype(np.int64),
        classes=CLASSES,
        licence="MIT",
    )


def _file(name: str, data_dir: Path | None, report: Report) -> Path:
    if data_dir is not None:
        if not (data_dir / name).is_file():
            raise MissingError(
                f"{data_dir} has no {name}", hint="--data-dir takes a folder with the four files as published"
            )
        return data_dir / name
    path = datasets_dir() / "fashion-mnist" / name
    if path.exists():
        return path
    # torchvision keeps the addresses and digests; importing it takes seconds, so only when they are needed
    from torchvision.datasets import FashionMNIST

    md5 = dict(FashionMNIST.resources)[name]
    *mirrors, last = FashionMNIST.mirrors
    for mirror in mirrors:
        try:
            return fetch(mirror + name, path, digest=Digest(algorithm="md5", hexadecimal=md5), report=report)
        except (MissingError, CorruptError):
            continue
    return fetch(last + name, path, digest=Digest(algorithm="md5", hexadecimal=md5), report=report)
