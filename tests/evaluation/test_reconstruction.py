"""Reconstructing pictures from Python."""

from pathlib import Path

import pytest
from conftest import FASHION
from helpers import Listener, same, small_model
from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.evaluation.reconstruct import reconstruct_dataset, reconstruct_files


def test_files_are_reconstructed_with_a_prompt(tmp_path: Path) -> None:
    paths = [tmp_path / f"{number}.png" for number in range(2)]
    for path in paths:
        Image.new("RGB", (40, 28), "red").save(path)
    model, listener = small_model("dense-concat"), Listener()
    result = reconstruct_files(model, paths, prompt="two sneakers", callback=listener)
    assert (result.model, result.names, result.prompts) == (model.config.name, [*map(str, paths)], ["sneaker"] * 2)
    assert listener.notices == [f"{path}: made grey, centre-cropped to 28x28" for path in paths]
    assert listener.progress == [(1, 2), (2, 2), (0, 2)]  # opened, and the start of the reconstructions
    assert same(model.reconstruct(result.originals, model.condition(["sneaker"] * 2)), result.pictures)
    assert result.sheet().size == (4 * 30 - 2, 28)
    assert result.scores.keys() == {"mse", "mse_per_pixel", "ssim", "ssim-wang"}
    assert result.mean["mse"] == pytest.approx(result.scores["mse"][0])


def test_a_data_set_says_what_its_pictures_show(quick_model: Path) -> None:
    result = reconstruct_dataset(quick_model, "fashion-mnist", n=5, seed=1, data_dir=FASHION)
    assert (result.model, len(result.prompts), len(set(result.names))) == ("fashion", 5, 5)
    assert result.names[0] == "fashion-mnist test 1"
    assert result.sheet().size == (8 * 30 - 2, 2 * 30 - 2)
    again = reconstruct_dataset(quick_model, "fashion-mnist", n=5, seed=1, data_dir=FASHION)
    assert again.scores == result.scores


def test_a_folder_that_is_no_class_asks_for_a_prompt(quick_model: Path, tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "x.png")
    with pytest.raises(UsageError, match="its folder is not named like a class"):
        reconstruct_files(quick_model, [tmp_path / "x.png"])
