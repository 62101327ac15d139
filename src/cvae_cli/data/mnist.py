"""MNIST and its relatives: 60,000 + 10,000 grey pictures of 28x28 in ten classes, in the IDX format.

Fashion-MNIST: Xiao, Rasul & Vollgraf 2017. MNIST: LeCun, Cortes & Burges 1998. KMNIST: Clanuwat et al. 2018.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvae_cli.config.model import LabelClass
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.idx import read_idx
from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback
from cvae_cli.paths import datasets_dir
from cvae_cli.weights.download import Digest, download_file

SPLITS = {"train": "train", "test": "t10k"}


@dataclass(frozen=True)
class Relative:
    """A data set of the family.

    Attributes:
        published_as: torchvision's class, which keeps the addresses and digests.
        words: for each class its name and the words that mean it.
    """

    published_as: str
    licence: str
    words: dict[str, str]

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        return tuple(LabelClass(name=name, words=tuple(words.split(", "))) for name, words in self.words.items())


FAMILY = {
    "fashion-mnist": Relative(
        "FashionMNIST",
        "MIT",
        {
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
        },
    ),
    "mnist": Relative(
        "MNIST",
        "CC BY-SA 3.0",
        {
            "0": "0, zero, nought",
            "1": "1, one",
            "2": "2, two",
            "3": "3, three",
            "4": "4, four",
            "5": "5, five",
            "6": "6, six",
            "7": "7, seven",
            "8": "8, eight",
            "9": "9, nine",
        },
    ),
    "kmnist": Relative(
        "KMNIST",
        "CC BY-SA 4.0",
        {
            "o": "o, お",
            "ki": "ki, き",
            "su": "su, す",
            "tsu": "tsu, つ",
            "na": "na, な",
            "ha": "ha, は",
            "ma": "ma, ま",
            "ya": "ya, や",
            "re": "re, れ",
            "wo": "wo, を",
        },
    ),
}


def load(name: str, split: str, *, data_dir: Path | None, callback: Callback) -> Dataset:
    """A split, from the published `*-ubyte.gz` files; see `load_dataset`."""
    relative, prefix = FAMILY[name], SPLITS[split]
    images = read_idx(_file(name, f"{prefix}-images-idx3-ubyte.gz", data_dir, callback), dimensions=3)
    labels = read_idx(_file(name, f"{prefix}-labels-idx1-ubyte.gz", data_dir, callback), dimensions=1)
    if len(images) != len(labels):
        raise CorruptError(f"{name} {split}: {len(images):,} pictures but {len(labels):,} labels")
    if len(images) == 0 or images.shape[1:] != (28, 28) or labels.max() >= len(relative.classes):
        raise CorruptError(f"{name} {split}: not pictures of 28x28 in {len(relative.classes)} classes")
    pixels = images[..., np.newaxis]  # (n, 28, 28, 1)
    return dataset_from_pixels(name, split, pixels, Labels(labels.astype(np.int64), relative.classes), relative.licence)


def _file(name: str, file: str, data_dir: Path | None, callback: Callback) -> Path:
    if data_dir is not None:
        if not (data_dir / file).is_file():
            raise MissingError(
                f"{data_dir} has no {file}", hint="--data-dir takes a folder with the four files as published"
            )
        return data_dir / file
    path = datasets_dir() / name / file
    if path.exists():
        return path
    # importing torchvision takes seconds, so only when its addresses and digests are needed
    import torchvision.datasets

    published = getattr(torchvision.datasets, FAMILY[name].published_as)
    digest = Digest(algorithm="md5", hexadecimal=dict(published.resources)[file])
    *mirrors, last = published.mirrors
    for mirror in mirrors:
        try:
            return download_file(mirror + file, path, digest=digest, callback=callback)
        except (MissingError, CorruptError):
            continue
    return download_file(last + file, path, digest=digest, callback=callback)
