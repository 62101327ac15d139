"""`cvae latents`: the figure with its numbers and points, strips, animations, and what cannot be drawn."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import FASHION, Command
from PIL import Image

from cvae_cli import CVAE, load_dataset
from cvae_cli.evaluation.latents import latent_spaces

DATA = ("--data-dir", str(FASHION))


def cut(path: Path, columns: int, size: int = 28) -> list[np.ndarray]:
    """Return the pictures of a strip, row by row."""
    sheet = np.asarray(Image.open(path))
    rows = range(0, sheet.shape[0], size + 2)
    return [sheet[y : y + size, x * (size + 2) : x * (size + 2) + size] for y in rows for x in range(columns)]


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """Two pictures in folders named as their classes."""
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION)
    paths = []
    for row in (0, 1):
        path = tmp_path / data.conditions.text(row).replace("/", "-") / f"{row}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(data.images[row, :, :, 0]).save(path)
        paths.append(path)
    return paths


def test_figure_has_a_number_and_points_for_each_model(
    cvae: Command, quick_model: Path, run_folder: Path, tmp_path: Path
):
    models = ["--model", quick_model, "--model", run_folder]
    done = cvae("latents", *models, *DATA, "-n", "60", "--seed", "3", "-o", "l.png", "--points", "p.csv", "--json")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    spaces = latent_spaces([quick_model, run_folder], n=60, seed=3, data_dir=FASHION, method="pca")
    expected = [(space.label, space.probe.accuracy) for space in spaces.spaces if space.probe]
    assert [(each["model"], each["probe_accuracy"]) for each in said["models"]] == expected
    assert {"method": "tsne", "n": 60, "split": "test", "seed": 3}.items() <= said["protocol"].items()
    with Image.open(tmp_path / "l.png") as figure:
        assert figure.width > figure.height  # two panels
        assert json.loads(figure.text["latents"])["models"] == said["models"]
    rows = list(csv.DictReader((tmp_path / "p.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["model"] for row in rows] == [quick_model.name] * 60 + [run_folder.name] * 60
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION)
    assert all(row["class"] == data.conditions.text(int(row["picture"])) for row in rows)
    assert len({(row["x"], row["y"]) for row in rows}) == 120


def test_a_pipe_gets_the_probe_and_stderr_the_file(cvae: Command, quick_model: Path, tmp_path: Path):
    nowhere = {"MPLCONFIGDIR": str(quick_model / "config.json" / "no")}  # matplotlib would talk about that
    done = cvae("latents", "--model", quick_model, *DATA, "-n", "20", "--method", "pca", env=nowhere)
    assert done.returncode == 0, done.stderr
    assert "atplotlib" not in done.stderr
    name, accuracy = done.stdout.rstrip("\n").split("\t")
    assert name == quick_model.name
    assert 0 <= float(accuracy) <= 1
    assert "figure in latents.png" in done.stderr
    assert (tmp_path / "latents.png").exists()


def test_ends_between_prompts_are_what_generate_draws(cvae: Command, quick_model: Path, tmp_path: Path):
    model = ("--model", quick_model, "--seed", "5")
    assert cvae("latents", *model, "--interpolate", "dress", "bag", "--steps", "3", "-o", "s.png").returncode == 0
    assert cvae("generate", "dress", "bag", *model, "--same-noise", "-o", "g.png").returncode == 0
    first, middle, last = cut(tmp_path / "s.png", 3)
    dress, bag = cut(tmp_path / "g.png", 1)
    assert (first == dress).all()
    assert (last == bag).all()
    assert not (middle == dress).all()
    assert not (middle == bag).all()


def test_equal_prompts_lead_from_their_first_picture_to_their_second(cvae: Command, quick_model: Path, tmp_path: Path):
    model = ("--model", quick_model)
    assert cvae("latents", *model, "--interpolate", "bag", "bag", "-o", "s.png", "-q").returncode == 0
    assert cvae("generate", "bag", "-n", "2", *model, "-o", "g.png").returncode == 0
    strip, drawn = cut(tmp_path / "s.png", 9), cut(tmp_path / "g.png", 2)
    assert (strip[0] == drawn[0]).all()
    assert (strip[8] == drawn[1]).all()


def test_ends_between_pictures_are_their_reconstructions(
    cvae: Command, run_folder: Path, pictures: list[Path], tmp_path: Path
):
    done = cvae("latents", "--model", run_folder, "--interpolate", *pictures, "--steps", "4", "-o", "s.png")
    assert done.returncode == 0, done.stderr
    assert cvae("reconstruct", *pictures, "--model", run_folder, "-o", "r.png").returncode == 0
    strip, pairs = cut(tmp_path / "s.png", 4), cut(tmp_path / "r.png", 4)
    for end, reconstruction in ((strip[0], pairs[1]), (strip[3], pairs[3])):
        assert np.abs(end.astype(int) - reconstruction).max() <= 1  # other batches round differently


@pytest.mark.parametrize("ending", ["gif", "webp"])
def test_an_animation_goes_there_and_back_over_the_pictures_of_the_strip(
    cvae: Command, quick_model: Path, tmp_path: Path, ending: str
):
    arguments = ["latents", "--model", quick_model, "--traverse", "1", "--prompt", "bag", "--prompt", "dress"]
    for name in ("s.png", f"s.{ending}"):
        done = cvae(*arguments, "--steps", "4", "-o", name)
        assert done.returncode == 0, done.stderr
    strip = cut(tmp_path / "s.png", 4)  # four bags, then four dresses
    with Image.open(tmp_path / f"s.{ending}") as moving:
        assert (moving.n_frames, moving.info["loop"]) == (6, 0)
        for frame, step in enumerate([0, 1, 2, 3, 2, 1]):
            moving.seek(frame)
            shown = np.asarray(moving.convert("L"))
            assert (shown[:28] == strip[step]).all()
            assert (shown[30:] == strip[4 + step]).all()


def test_rows_of_a_traversal_are_the_classes_unless_prompts_are_named(cvae: Command, quick_model: Path):
    done = cvae("latents", "--model", quick_model, "--traverse", "0", "--json", "--steps", "2")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["prompt"].split("\n")[:2] == ["t-shirt/top", "trouser"]
    assert said["file"] == "traverse-0.png"


@pytest.mark.parametrize(
    ("arguments", "message", "code"),
    [
        (["--interpolate", "dress", "bag", "--traverse", "1"], "give either --interpolate or --traverse", 2),
        (
            ["--interpolate", "dress", "bag", "--points", "p.csv"],
            "--points is for the figure, without --interpolate",
            2,
        ),
        (["--traverse", "1", "-n", "5"], "-n is for the figure, without --traverse", 2),
        (["--steps", "5"], "--steps is for --interpolate and --traverse", 2),
        (["--prompt", "bag"], "--prompt is for --interpolate and --traverse", 2),
        (["--traverse", "6", "--prompt", "bag"], "quick: it has 6 numbers, from 0", 2),
        (["--interpolate", "dress", "snekers"], 'Did you mean "sneakers"?', 2),
        (["--interpolate", "dress", "bag", "--prompt", "bag"], "both ends are prompts", 2),
        (["--interpolate", "no.png", "bag"], "no file no.png", 3),
        (["--interpolate", "dress", "bag", "-o", "x.svg"], 'no picture format ".svg"', 2),
        (["--interpolate", "dress", "bag", "--guidance", "2"], "guidance needs a prior of the kind score", 2),
        (["--model", "scenes", "--traverse", "1"], "--traverse is for one model, not 2", 2),
        (["-o", "x.psd"], 'no picture format ".psd"', 2),
        (["--points", "p.txt"], "p.txt does not end in .csv", 2),
        (["--points", "no/p.csv"], "cannot write no/p.csv", 2),
        (["-n", "3"], "3 pictures are too few", 2),
        (["--split", "no"], 'no split "no"', 2),
        (["--dataset", "coco"], "quick draws 28x28 grey pictures; coco has 28x28 colour ones", 2),
        (["--dataset", "fashion"], 'no data set "fashion". Did you mean "fashion-mnist"?', 2),
        (["-o", "-", "--json"], "give either -o - or --json: both write to stdout", 2),
    ],
)
def test_what_cannot_be_drawn_is_said_before_anything_is_written(
    cvae: Command, quick_model: Path, tmp_path: Path, arguments: list[str], message: str, code: int
):
    (tmp_path / "no").touch()
    done = cvae("latents", "--model", quick_model, *arguments)
    assert (done.returncode, done.stdout) == (code, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["no"]


def test_a_picture_without_a_class_asks_for_one(cvae: Command, run_folder: Path, pictures: list[Path], tmp_path: Path):
    lost = shutil.copy(pictures[0], tmp_path / "lost.png")
    ends = ("--interpolate", lost, "dress")
    done = cvae("latents", "--model", run_folder, *ends)
    assert done.returncode == 2
    assert f"say what {lost} shows" in done.stderr
    done = cvae("latents", "--model", run_folder, *ends, "--prompt", "bag")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "lost-to-dress.png\n"
    model = CVAE.from_pretrained(run_folder)
    expected = model.interpolate(Path(lost), "dress", prompt="bag")
    assert (cut(tmp_path / "lost-to-dress.png", 9)[4] == np.asarray(expected[4])).all()
