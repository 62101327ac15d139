"""Fashion-MNIST: download it from torchvision's mirrors, read it, split it, and batch it."""

import gzip
import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION
from helpers import fashion
from loopback import Loopback, Page, loopback

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.idx import read_idx
from cvae_cli.errors import CorruptError, MissingError, UsageError
from cvae_cli.pictures.pixels import to_float, to_uint8

CPU = torch.device("cpu")


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    """A mirror of the small files, with matching digests in torchvision's table, and an empty cache."""
    from torchvision.datasets import FashionMNIST

    files = {path.name: path.read_bytes() for path in FASHION.glob("*.gz")}
    digests = [(name, hashlib.md5(content).hexdigest()) for name, content in files.items()]
    with loopback() as server:
        for name, content in files.items():
            server.serve(f"/{name}", Page(body=content))
        monkeypatch.setattr(FashionMNIST, "mirrors", [f"{server.url}/"])
        monkeypatch.setattr(FashionMNIST, "resources", digests)
        monkeypatch.setenv("CVAE_HOME", str(tmp_path))
        monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
        yield server


def test_absent_files_are_fetched_once(mirror: Loopback, tmp_path: Path) -> None:
    told: list[int] = []
    fetched = load_dataset("fashion-mnist", "test", callback=lambda event: told.append(event.done))
    assert np.array_equal(fetched.images, fashion("test", 200).images)
    assert told
    assert sorted(path.name for path in (tmp_path / "datasets" / "fashion-mnist").glob("*.gz")) == [
        "t10k-images-idx3-ubyte.gz",
        "t10k-labels-idx1-ubyte.gz",
    ]
    mirror.requests.clear()
    load_dataset("fashion-mnist", "test")
    assert mirror.requests == []


def test_another_mirror_is_asked_when_one_fails(mirror: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision.datasets import FashionMNIST

    monkeypatch.setattr(FashionMNIST, "mirrors", [f"{mirror.url}/gone/", *FashionMNIST.mirrors])
    assert len(load_dataset("fashion-mnist", "test")) == 200


def test_file_with_another_digest_is_not_kept(mirror: Loopback, tmp_path: Path) -> None:
    mirror.pages["/t10k-images-idx3-ubyte.gz"].body = gzip.compress(b"something else")
    with pytest.raises(CorruptError, match="md5"):
        load_dataset("fashion-mnist", "test")
    assert not list((tmp_path / "datasets" / "fashion-mnist").glob("t10k-images*gz"))


def test_nothing_is_fetched_into_a_given_folder(mirror: Loopback, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(MissingError, match="t10k-images"):
        load_dataset("fashion-mnist", "test", data_dir=tmp_path / "empty")
    assert mirror.requests == []
    assert not list((tmp_path / "empty").iterdir())


def test_pictures_and_labels_are_the_published_ones() -> None:
    data = fashion("test", 200)
    assert (data.images.shape, data.images.dtype) == ((200, 28, 28, 1), np.uint8)
    assert (data.conditions.indices.shape, data.conditions.indices.dtype) == ((200,), np.int64)
    assert data.conditions.indices[:5].tolist() == [9, 2, 1, 1, 6]  # as on the web page of the data set
    assert data.image_shape.size == 28


@pytest.mark.parametrize("cut", [0, 3, 10, 5000])
def test_truncated_file_is_refused(tmp_path: Path, cut: int) -> None:
    content = (FASHION / "t10k-images-idx3-ubyte.gz").read_bytes()
    (tmp_path / "cut.gz").write_bytes(content[:cut])
    with pytest.raises(CorruptError):
        read_idx(tmp_path / "cut.gz", dimensions=3)


def test_labels_in_the_place_of_pictures_are_refused() -> None:
    with pytest.raises(CorruptError, match="is not an IDX file of bytes in 3 dimensions"):
        read_idx(FASHION / "t10k-labels-idx1-ubyte.gz", dimensions=3)


def test_header_that_promises_too_much_or_too_little_is_refused(tmp_path: Path) -> None:
    for count in (1, 3, 2**31):
        path = tmp_path / f"{count}.gz"
        path.write_bytes(gzip.compress(struct.pack(">HBBI", 0, 8, 1, count) + b"\1\2"))
        with pytest.raises(CorruptError, match="promises"):
            read_idx(path, dimensions=1)


def test_dividing_is_by_the_seed_and_loses_nothing() -> None:
    data = fashion(n=100)
    train, valid = data.divide(7, seed=0)
    again, _ = data.divide(7, seed=0)
    other, _ = data.divide(7, seed=1)
    assert (len(train), len(valid)) == (93, 7)
    assert np.array_equal(train.images, again.images)
    assert not np.array_equal(train.images, other.images)
    together = np.concatenate([train.images, valid.images]).reshape(100, -1)
    assert {row.tobytes() for row in together} == {row.tobytes() for row in data.images}
    assert len(data.divide(2000, seed=0)[1]) == 10  # at most a tenth


def test_one_picture_cannot_be_divided() -> None:
    with pytest.raises(UsageError, match="too few"):
        fashion(n=1).divide(1, seed=0)


def test_an_epoch_shows_every_picture_once_and_can_be_entered_anywhere() -> None:
    data = fashion(n=64)
    batches = Batches(data, batch_size=16, device=CPU, seed=5)
    epoch = list(batches.epoch(3))
    shown = torch.cat([to_uint8(images) for images, _ in epoch])
    assert {row.numpy().tobytes() for row in shown} == {row.tobytes() for row in data.images}
    rest = list(batches.epoch(3, start=2))
    assert len(rest) == 2
    assert all(torch.equal(a[0], b[0]) and torch.equal(a[1], b[1]) for a, b in zip(rest, epoch[2:], strict=True))
    assert not torch.equal(epoch[0][0], next(batches.epoch(4))[0])


def test_flipping_mirrors_about_half() -> None:
    data = fashion(n=64)
    plain, flipped = (next(Batches(data, batch_size=64, device=CPU, flip=flip).epoch(0))[0] for flip in (False, True))
    same = (plain == flipped).flatten(1).all(1)
    mirrored = (plain.flip(3) == flipped).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_bytes_survive_the_way_in_and_out() -> None:
    every = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1)
    assert torch.equal(to_uint8(to_float(every)), every)
    assert to_uint8(torch.tensor([[[[-0.1, 1.1, 0.5 / 255 + 1e-4]]]])).flatten().tolist() == [0, 255, 1]


@pytest.mark.parametrize("name", ["mnist", "kmnist"])
def test_relatives_are_read_alike_and_their_classes_have_names(name: str) -> None:
    data = load_dataset(name, "test", data_dir=FASHION)
    assert (data.name, len(data), len(data.conditions.classes)) == (name, 200, 10)


@pytest.mark.parametrize(
    ("prompt", "name"), [("seven", "7"), ("a handwritten 3", "3"), ("ones", "1"), ("き", "ki"), ("the letter su", "su")]
)
def test_relatives_have_prompts(prompt: str, name: str) -> None:
    from cvae_cli.data.mnist import FAMILY
    from cvae_cli.text.labels import match_class

    relative = FAMILY["kmnist" if name.isalpha() else "mnist"]
    assert match_class(prompt, relative.classes).name == name
