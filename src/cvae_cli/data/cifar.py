"""CIFAR-10: 50,000 + 10,000 colour pictures of 32x32 in ten classes (Krizhevsky 2009)."""

import tarfile
import zlib
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from cvae_cli.config.model import ImageShape
from cvae_cli.data.conditions import Labels, make_classes
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.published import published_file
from cvae_cli.data.source import ArraySource
from cvae_cli.errors import CorruptError
from cvae_cli.events import Callback
from cvae_cli.paths import datasets_dir
from cvae_cli.weights.download import Digest, download_file

_MEMBERS = {"train": [f"data_batch_{number}.bin" for number in range(1, 6)], "test": ["test_batch.bin"]}

# The archive for C programs, which contains plain bytes; the one for Python contains pickles. The digest is from the
# page of the data set.
_ARCHIVE = "cifar-10-binary.tar.gz"
_URL = f"https://www.cs.toronto.edu/~kriz/{_ARCHIVE}"
_DIGEST = Digest(algorithm="md5", hexadecimal="c32a1d4ab5d03f1284b67883e8d87530")
_RECORD = 1 + 3 * 32 * 32  # bytes: a label, then the red, green and blue planes

CLASSES = make_classes(
    {
        "airplane": "airplane, aeroplane, plane, aircraft, jet, airliner",
        "automobile": "automobile, car, sedan, station wagon",
        "bird": "bird, ostrich, songbird",
        "cat": "cat, kitten, kitty",
        "deer": "deer, stag, doe, elk, moose, reindeer",
        "dog": "dog, puppy, hound, doggy",
        "frog": "frog, toad, tree frog",
        "horse": "horse, pony, foal, stallion, mare",
        "ship": "ship, boat, vessel, ferry, speedboat, sailboat",
        "truck": "truck, lorry, fire engine, dump truck",
    }
)


class Cifar10(ArraySource):
    """CIFAR-10, read from the published archive."""

    description = "60,000 photographs of animals and vehicles, 32x32, in ten classes"
    splits = tuple(_MEMBERS)
    shape = ImageShape(size=32, channels=3)

    def is_here(self) -> bool:
        return (datasets_dir() / self.name / _ARCHIVE).exists()

    def read(self, split: str, *, data_dir: Path | None, callback: Callback) -> Dataset:
        path = published_file(
            self.name,
            _ARCHIVE,
            data_dir=data_dir,
            hint="--data-dir takes a folder with the archive as published",
            download=lambda path: download_file(_URL, path, digest=_DIGEST, callback=callback),
        )
        records = np.concatenate([_records(path, member) for member in _MEMBERS[split]])  # (n, 3073)
        labels, planes = records[:, 0], records[:, 1:]
        if labels.max() >= len(CLASSES):
            raise CorruptError(f"{path} has labels beyond its {len(CLASSES)} classes")
        pixels = np.ascontiguousarray(planes.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))  # (n, 32, 32, 3)
        conditions = Labels(labels.astype(np.int64), CLASSES)
        return dataset_from_pixels(self.name, split, pixels, conditions, "not stated by its authors")


def _records(path: Path, member: str) -> UInt8[np.ndarray, "n 3073"]:
    """Read the records of one file of the archive."""
    try:
        with tarfile.open(path) as archive:
            file = archive.extractfile(f"cifar-10-batches-bin/{member}")
            content = file.read(10_000 * _RECORD + 1) if file else b""
    except (tarfile.TarError, EOFError, zlib.error, KeyError, OSError) as error:
        raise CorruptError(f"{path} is damaged, or not the archive as published ({error})") from error
    if not content or len(content) % _RECORD:
        raise CorruptError(f"{path} is damaged: {member} does not contain whole pictures")
    return np.frombuffer(content, np.uint8).reshape(-1, _RECORD)
