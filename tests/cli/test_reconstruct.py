"""`cvae reconstruct`: pictures of any format, and labels from every source."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from PIL import Image

from cvae_cli import console
from cvae_cli.commands.reconstruct import _show
from cvae_cli.evaluation.reconstruct import Reconstructions


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A colour photograph that is not square, in a folder with the name of a class."""
    rows, columns = np.mgrid[0:300, 0:200]
    pixels = np.stack([rows % 256, columns, np.full_like(rows, 90)], axis=-1).astype(np.uint8)
    path = tmp_path / "ankle boot" / "photo.jpg"
    path.parent.mkdir()
    Image.fromarray(pixels).save(path)
    return path


def test_picture_is_brought_to_the_models_size_and_it_is_said(
    cvae: Command, run_folder: Path, photo: Path, tmp_path: Path
) -> None:
    done = cvae("reconstruct", photo, "--model", run_folder, "-o", "out.png")
    assert done.returncode == 0, done.stderr
    assert f"{photo}: made grey, centre-cropped to 200x200, resized from 200x200" in done.stderr
    image, mean = (line.split("\t") for line in done.stdout.splitlines())
    assert image[:2] == [str(photo), "ankle boot"]
    assert mean[2:] == image[2:]
    with Image.open(tmp_path / "out.png") as pair:
        assert pair.size == (58, 28)


def test_label_is_given_or_asked_for(cvae: Command, run_folder: Path, photo: Path, tmp_path: Path) -> None:
    elsewhere = photo.rename(tmp_path / "photo.jpg")
    done = cvae("reconstruct", elsewhere, "--model", run_folder)
    assert done.returncode == 2
    assert "for example:  --prompt CLASS" in done.stderr
    done = cvae("reconstruct", elsewhere, "--model", run_folder, "--label", "sneakers", "--json")
    assert json.loads(done.stdout)["images"][0]["prompt"] == "sneaker"
    assert (tmp_path / "pairs.png").exists()


def test_data_set_is_drawn_from_by_the_seed(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    arguments = ["reconstruct", "--dataset", "fashion-mnist", "--data-dir", FASHION, "-n", "6", "--model", run_folder]
    one, same, other = (
        json.loads(cvae(*arguments, "--seed", seed, "--json", "-o", "pairs.png").stdout) for seed in ("1", "1", "2")
    )
    assert one == same != other
    assert len(one["images"]) == 6
    for metric in ("mse", "mse_per_pixel", "ssim"):
        values = [image[metric] for image in one["images"]]
        assert one["mean"][metric] == pytest.approx(sum(values) / 6)
    assert one["mean"]["mse"] == pytest.approx(784 * one["mean"]["mse_per_pixel"])
    with Image.open(tmp_path / "pairs.png") as sheet:
        assert sheet.size == (8 * 30 - 2, 2 * 30 - 2)  # four pairs per row


def test_pictures_or_a_data_set(cvae: Command) -> None:
    assert cvae("reconstruct").returncode == 2
    assert cvae("reconstruct", "x.png", "--dataset", "fashion-mnist").returncode == 2


def test_any_kind_of_picture_is_taken(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bag"
    folder.mkdir()
    grey = Image.fromarray(np.tile(np.arange(64, dtype=np.uint8) * 4, (64, 1)))
    colour = Image.merge("RGB", [grey, grey.rotate(90), grey])
    kinds = {
        "cmyk.jpg": colour.convert("CMYK"),
        "palette.png": colour.convert("P"),
        "sixteen.png": Image.fromarray(np.asarray(grey).astype(np.uint16) * 257),
        "alpha.png": Image.merge("RGBA", [*colour.split(), grey]),
        "plain.png": grey.resize((28, 28)),
    }
    for name, picture in kinds.items():
        picture.save(folder / name)
    colour.save(folder / "animated.gif", save_all=True, append_images=[colour.rotate(90)])
    done = cvae("reconstruct", *sorted(folder.iterdir()), "--model", run_folder, "--json")
    assert done.returncode == 0, done.stderr
    assert len(json.loads(done.stdout)["images"]) == 6
    for name, said in {
        "cmyk.jpg": "made grey",
        "palette.png": "made grey",
        "sixteen.png": "reduced to 8 bits",
        "alpha.png": "laid on black",
        "animated.gif": "first of 2 frames",
    }.items():
        assert any(f"{name}: " in line and said in line for line in done.stderr.splitlines()), name
    assert "plain.png" not in done.stderr


def test_model_without_a_condition_shows_no_label(cvae: Command, tmp_path: Path) -> None:
    from helpers import small_model

    small_model("article-none").save_pretrained(tmp_path / "plain")
    Image.new("L", (28, 28)).save(tmp_path / "x.png")
    done = cvae("reconstruct", "x.png", "--model", "plain", "--json")
    assert json.loads(done.stdout)["images"][0]["prompt"] == "-"
    assert cvae("reconstruct", "--label", "bag", "--dataset", "fashion-mnist").returncode == 2


def test_below_the_scores_stands_the_model_as_its_user_calls_it(monkeypatch: pytest.MonkeyPatch) -> None:
    grey = torch.full((1, 1, 8, 8), 0.5)
    result = Reconstructions("fashion-concat", ["1.png"], ["bag"], grey, grey, {"mse": [0.0]})
    below: list[str] = []
    monkeypatch.setattr(console, "table", lambda document, *, footer, **columns: below.append(footer))
    _show(result, Path("pairs.png"), "runs/likelihood")
    assert below == ["pairs.png   likelihood · through the mean of the posterior"]
