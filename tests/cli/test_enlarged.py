"""`--scale` and `--labels`: pictures that are large enough to look at, with what they show."""

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FASHION, Command
from PIL import Image

from cvae_cli.bulk.grid import generate_grid
from cvae_cli.evaluation.reconstruct import reconstruct_files
from cvae_cli.pictures.grid import Labels, enlarge, grid


@pytest.fixture
def draw(cvae: Command, quick_model: Path) -> Command:
    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return cvae("generate", "--model", quick_model, *arguments, **options)

    return run


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture)


def cut_out(sheet: Image.Image, columns: int, count: int, side: int = 28) -> list[Image.Image]:
    """The pictures of a sheet without labels."""
    corners = [((index % columns) * (side + 2), (index // columns) * (side + 2)) for index in range(count)]
    return [sheet.crop((x, y, x + side, y + side)) for x, y in corners]


@pytest.mark.parametrize("resample", ["nearest", "lanczos"])
def test_pictures_are_enlarged_on_sheets_and_in_files(draw: Command, tmp_path: Path, resample: str) -> None:
    draw("dress", "-n", "2", "-o", "plain.png")
    options = ["--scale", "4", "--resample", resample]
    done = draw("dress", "-n", "2", *options, "-o", "large.png", "--json")
    assert done.returncode == 0, done.stderr
    assert draw("dress", "-n", "2", *options, "--separate", "-o", "files").returncode == 0
    said = json.loads(done.stdout)
    assert (said["scale"], said["resample"]) == (4, resample)
    with Image.open(tmp_path / "plain.png") as plain:
        expected = [enlarge(picture, 4, resample) for picture in cut_out(plain, 2, 2)]
    with Image.open(tmp_path / "large.png") as large:
        assert (large.size, large.text["scale"]) == ((226, 112), "4")
        assert large.tobytes() == grid(expected, columns=2).tobytes()
    for number, picture in enumerate(expected, 1):
        with Image.open(tmp_path / "files" / f"{number}-dress.png") as file:
            assert (file.tobytes(), file.text["scale"]) == (picture.tobytes(), "4")


def test_a_folder_holds_pictures_of_one_scale(draw: Command, tmp_path: Path) -> None:
    draw("dress", "--separate", "-o", "out")
    done = draw("dress", "--scale", "2", "--separate", "-o", "out")
    assert done.returncode == 2
    assert done.stderr.startswith("cvae: out holds pictures of scale 1, not 2\n")
    draw("dress", "--scale", "2", "--separate", "-o", "two")
    done = draw("dress", "--scale", "2", "--resample", "lanczos", "--separate", "-o", "two")
    assert done.stderr.startswith('cvae: two holds pictures of resample "nearest", not "lanczos"\n')


@pytest.mark.parametrize(
    ("prompts", "options", "labels"),
    [
        (["dress"], ["-n", "3"], Labels(title="dress")),
        (["dress", "two bags"], ["-n", "3"], Labels(rows=["dress", "two bags"])),
        (["dress", "bag"], ["-n", "4", "--columns", "2"], Labels(rows=["dress", "", "bag", ""])),
        (["dress", "bag"], ["-n", "3", "--columns", "2"], Labels(pictures=["dress"] * 3 + ["bag"] * 3)),
        (["dress", "bag", "coat"], ["--columns", "3"], Labels(pictures=["dress", "bag", "coat"])),
    ],
)
def test_labels_are_the_prompts(
    draw: Command, tmp_path: Path, prompts: list[str], options: list[str], labels: Labels
) -> None:
    n = int(options[1]) if options[0] == "-n" else 1
    columns = int(options[-1]) if "--columns" in options else 2 if len(prompts) == 1 else n
    assert draw(*prompts, *options, "-o", "plain.png").returncode == 0
    assert draw(*prompts, *options, "--labels", "-o", "labelled.png").returncode == 0
    with Image.open(tmp_path / "plain.png") as plain:
        pictures = [enlarge(picture, 4) for picture in cut_out(plain, columns, n * len(prompts))]
    expected = grid(pictures, columns=columns, labels=labels)
    assert np.array_equal(pixels(tmp_path / "labelled.png"), np.asarray(expected))


def test_scale_and_labels_go_together(quick_model: Path) -> None:
    sheets = [generate_grid(quick_model, ["dress", "bag"], scale=scale, labels=True).sheet for scale in (1, 2, None)]
    assert sheets[0].height < sheets[1].height < sheets[2].height
    assert sheets[2].height == 2 * 112 + 2 + 16


def test_labels_and_columns_are_for_sheets(draw: Command, tmp_path: Path) -> None:
    for option in (["--labels"], ["--columns", "3"]):
        done = draw("dress", "--separate", "-o", "out", *option)
        assert (done.returncode, done.stdout) == (2, "")
        assert "are for one sheet of pictures" in done.stderr
    assert draw("dress", "--scale", "0", "-o", "x.png").returncode == 2
    assert draw("dress", "--scale", "2", "--resample", "cubic", "-o", "x.png").returncode == 2
    done = draw("dress", "-n", "9000", "--scale", "64", "-o", "x.png")
    assert (done.returncode, list(tmp_path.iterdir())) == (2, [])
    assert "is too large to be opened" in done.stderr


def test_reconstructions_say_which_is_which(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    Image.new("L", (28, 28), 90).save(tmp_path / "x.png")
    arguments = ["reconstruct", "x.png", "--label", "bags", "--model", quick_model]
    assert cvae(*arguments, "-o", "plain.png").returncode == 0
    assert cvae(*arguments, "--labels", "-o", "labelled.png").returncode == 0
    assert cvae(*arguments, "--scale", "3", "--resample", "lanczos", "-o", "large.png").returncode == 0
    with Image.open(tmp_path / "plain.png") as plain:
        pair = cut_out(plain, 2, 2)
    above = Labels(pictures=["original\nbag", "reconstruction"])
    labelled = grid([enlarge(picture, 4) for picture in pair], columns=2, labels=above)
    assert np.array_equal(pixels(tmp_path / "labelled.png"), np.asarray(labelled))
    large = grid([enlarge(picture, 3, "lanczos") for picture in pair], columns=2)
    assert np.array_equal(pixels(tmp_path / "large.png"), np.asarray(large))
    sheet = reconstruct_files(quick_model, [tmp_path / "x.png"], prompt="bag").sheet(labels=True)
    assert np.array_equal(np.asarray(sheet), np.asarray(labelled))


def test_the_grids_of_a_training_have_labels(run_folder: Path) -> None:
    with Image.open(run_folder / "samples" / "epoch-001.png") as sheet:
        written = np.asarray(sheet) < 128
        width, height = sheet.size
    left = width - (10 * 114 - 2) - 16  # without the border and the ten pictures of four times their size
    assert 80 < left < 120  # the names of the rows, of which "reconstruction" is the longest
    assert written[8:, 8 : left + 8].any()
    assert height == 6 * 114 - 2 + 16 + 18 + 18  # and a line above the originals, and one above the samples
    assert written[8:26, left + 8 :].any()
    assert written[26 + 228 : 26 + 228 + 18, left + 8 :].any()


def test_a_data_set_is_reconstructed_with_labels(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    arguments = ["--dataset", "fashion-mnist", "--data-dir", FASHION, "-n", "5", "--model", quick_model]
    assert cvae("reconstruct", *arguments, "--labels", "-o", "pairs.webp").returncode == 0
    with Image.open(tmp_path / "pairs.webp") as sheet:
        assert sheet.width == 8 * 114 - 2 + 16
