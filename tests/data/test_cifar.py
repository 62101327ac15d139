"""CIFAR-10 from an archive with the published layout, and colour from the data to generated pictures."""

import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import RESIDUAL

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.catalog import load_dataset
from cvae_cli.errors import CorruptError, MissingError
from cvae_cli.evaluation.evaluate import evaluate_model
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model


def write_archive(folder: Path, records: dict[str, bytes]) -> Path:
    with tarfile.open(folder / "cifar-10-binary.tar.gz", "w:gz") as archive:
        for name, content in records.items():
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return folder


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Four pictures per file: all red, all green, all blue, and noise; labels 0 to 3."""
    planes = np.zeros((4, 3, 32, 32), np.uint8)
    for channel in range(3):
        planes[channel, channel] = 200
    planes[3] = np.random.default_rng(0).integers(0, 256, (3, 32, 32))
    content = b"".join(bytes([label]) + planes[label].tobytes() for label in range(4))
    names = [f"data_batch_{number}.bin" for number in range(1, 6)] + ["test_batch.bin"]
    return write_archive(tmp_path, dict.fromkeys(names, content))


def test_colours_and_labels_are_read(archive: Path) -> None:
    data = load_dataset("cifar-10", "train", data_dir=archive)
    assert data.images.shape == (20, 32, 32, 3)
    assert data.conditions.indices.tolist() == [0, 1, 2, 3] * 5
    assert data.images[0, 5, 7].tolist() == [200, 0, 0]
    assert data.images[2, 5, 7].tolist() == [0, 0, 200]
    assert len(load_dataset("cifar-10", "test", data_dir=archive)) == 4


def test_colour_models_draw_reconstruct_and_are_measured(archive: Path) -> None:
    data = load_dataset("cifar-10", "test", data_dir=archive)
    recipe = load_recipe("fashion-concat", RESIDUAL | {"architecture.conditioning": "modulate"})
    model = build_model(recipe, data.name, data.image_shape, condition_config(data))
    (picture,) = model.eval().generate("two cats")
    assert (picture.mode, picture.size) == ("RGB", (32, 32))
    assert model.sample(torch.arange(3)).shape == (3, 3, 32, 32)
    chosen = catalog.default_names("cifar-10", [model])
    assert chosen == ["mse", "mae", "ssim", "ssim-wang", "psnr", "elbo", "rate", "distortion", "active-units"]
    scores = evaluate_model(model, data, [*chosen, "bits-per-dim"]).scores
    assert list(scores) == [*chosen, "bits-per-dim"]
    assert scores["bits-per-dim"] is None  # not defined for a density


@pytest.mark.parametrize(
    "records", [{}, {"test_batch.bin": b""}, {"test_batch.bin": b"x" * 3072}, {"test_batch.bin": b"\x0a" * 3073}]
)
def test_archive_of_something_else_is_refused(tmp_path: Path, records: dict[str, bytes]) -> None:
    with pytest.raises(CorruptError):
        load_dataset("cifar-10", "test", data_dir=write_archive(tmp_path, records))


def test_damaged_or_absent_archive_is_refused(archive: Path, tmp_path: Path) -> None:
    path = archive / "cifar-10-binary.tar.gz"
    path.write_bytes(path.read_bytes()[:500])
    with pytest.raises(CorruptError):
        load_dataset("cifar-10", "train", data_dir=archive)
    path.unlink()
    with pytest.raises(MissingError):
        load_dataset("cifar-10", "train", data_dir=archive)
