"""MNIST and its relatives: 60,000 + 10,000 grey pictures of 28x28 in ten classes, in the IDX format.

Fashion-MNIST: Xiao, Rasul & Vollgraf 2017. MNIST: LeCun, Cortes & Burges 1998. KMNIST: Clanuwat et al. 2018.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cvae_cli.config.condition import LabelClass
from cvae_cli.config.model import ImageShape
from cvae_cli.data.conditions import Labels, make_classes
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.idx import read_idx
from cvae_cli.data.published import published_file
from cvae_cli.data.source import ArraySource
from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.events import Callback
from cvae_cli.paths import datasets_dir
from cvae_cli.weights.download import Digest, download_file

_PREFIXES = {"train": "train", "test": "t10k"}  # of the files of each split


@dataclass(frozen=True)
class Relative:
    """A data set of the family.

    Attributes:
        description: one line for help texts and tables.
        published_as: torchvision's class, which knows the addresses and digests of the files.
        licence: of the pictures.
        words: for each class its name and the words that mean it.
    """

    description: str
    published_as: str
    licence: str
    words: dict[str, str]

    @property
    def classes(self) -> tuple[LabelClass, ...]:
        return make_classes(self.words)


FAMILY = {
    "fashion-mnist": Relative(
        "70,000 pictures of clothing, 28x28, grey, in ten classes",
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
        "70,000 handwritten digits, 28x28, grey, in ten classes",
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
        "70,000 handwritten Japanese characters, 28x28, grey, in ten classes",
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


class Mnist(ArraySource):
    """A data set of the family, read from the published `*-ubyte.gz` files."""

    splits = tuple(_PREFIXES)
    shape = ImageShape(size=28, channels=1)

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._relative = FAMILY[name]
        self.description = self._relative.description

    def is_here(self) -> bool:
        folder = datasets_dir() / self.name
        return all((folder / f"train-{kind}-ubyte.gz").exists() for kind in ("images-idx3", "labels-idx1"))

    def read(self, split: str, *, data_dir: Path | None, callback: Callback) -> Dataset:
        images = read_idx(self._file(f"{_PREFIXES[split]}-images-idx3-ubyte.gz", data_dir, callback), dimensions=3)
        labels = read_idx(self._file(f"{_PREFIXES[split]}-labels-idx1-ubyte.gz", data_dir, callback), dimensions=1)
        classes = self._relative.classes
        if len(images) != len(labels):
            raise CorruptError(f"{self.name} {split}: {len(images):,} pictures but {len(labels):,} labels")
        if len(images) == 0 or images.shape[1:] != (28, 28) or labels.max() >= len(classes):
            raise CorruptError(f"{self.name} {split}: not pictures of 28x28 in {len(classes)} classes")
        pixels = images[..., np.newaxis]  # (n, 28, 28, 1)
        conditions = Labels(labels.astype(np.int64), classes)
        return dataset_from_pixels(self.name, split, pixels, conditions, self._relative.licence)

    def _file(self, file: str, data_dir: Path | None, callback: Callback) -> Path:
        return published_file(
            self.name,
            file,
            data_dir=data_dir,
            hint="--data-dir takes a folder with the four files as published",
            download=lambda path: _download(self._relative.published_as, path, callback),
        )


def _download(published_as: str, path: Path, callback: Callback) -> None:
    """Download a file from the first mirror that has it."""
    import torchvision.datasets  # takes seconds, so only when its addresses and digests are needed

    published = getattr(torchvision.datasets, published_as)
    digest = Digest(algorithm="md5", hexadecimal=dict(published.resources)[path.name])
    *mirrors, last = published.mirrors
    for mirror in mirrors:
        try:
            download_file(mirror + path.name, path, digest=digest, callback=callback)
            return
        except (MissingError, CorruptError):
            continue
    download_file(last + path.name, path, digest=digest, callback=callback)
