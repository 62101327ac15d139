"""A run is resumed on a folder that has changed: other classes are an error, other pictures are said."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Command
from small import captioned, save

TRAIN = [
    *("--size", "16", "--epochs", "1", "--prior", "none", "--batch-size", "4", "--precision", "fp32"),
    *(
        "--set",
        "data.epoch_size=1",
        "--set",
        "training.schedule=constant",
        "--set",
        "architecture.network.width=8",
        "--latent-dim",
        "4",
    ),
]
RESUME = ["--resume", "run", "--epochs", "2"]


def make_classes(root: Path) -> Path:
    for name, red in (("cat", 0), ("dog", 100)):
        for number in range(6):
            save(root / "train" / name / f"{number}.png", colour=(red + number, 40, 90))
            save(root / "val" / name / f"{number}.png", colour=(red + number, 90, 40))
    return root


@pytest.fixture(scope="module")
def begun(
    executable: str, clean_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Folders `some` of classes and of captions, each with a `run` that began on it."""
    folders = {name: tmp_path_factory.mktemp(name) for name in ("classes", "captions")}
    make_classes(folders["classes"] / "some")
    captioned(folders["captions"] / "some" / "train", 12)
    captioned(folders["captions"] / "some" / "val", 3)
    command = [executable, "train", "folder:some", *TRAIN, "--out", "run"]
    for folder in folders.values():
        done = subprocess.run(command, cwd=folder, env=clean_environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    return folders


def copied(begun: Path, folder: Path) -> Path:
    """Copy a run and what it learned from, and return the latter."""
    shutil.copytree(begun, folder, dirs_exist_ok=True)
    recipe = folder / "run" / "recipe.toml"
    assert str(begun) in recipe.read_text()
    recipe.write_text(recipe.read_text().replace(str(begun), str(folder)))
    return folder / "some"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: (root / "train" / "cat").rename(root / "train" / "kitten"), '(new: "kitten")'),
        (lambda root: save(root / "train" / "emu" / "0.png"), '(new: "emu")'),
        (lambda root: [shutil.rmtree(root / part / "dog") for part in ("train", "val")], '(gone: "dog")'),
        (
            lambda root: [(root / part / "dog").rename(root / part / "Dog") for part in ("train", "val")],
            '(new: "Dog"; gone: "dog")',
        ),
    ],
    ids=["renamed", "added", "gone", "case"],
)
def test_other_classes_are_an_error_that_says_which(
    cvae: Command, begun: dict[str, Path], tmp_path: Path, change: Callable[[Path], object], said: str
) -> None:
    root = copied(begun["classes"], tmp_path)
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    change(root)
    for is_recorded in (True, False):
        if not is_recorded:
            (tmp_path / "run" / "data.json").unlink()  # as in runs of an earlier version
        done = cvae("train", *RESUME)
        assert done.returncode == 2
        assert f"some has other classes than when the run began {said}" in done.stderr
        assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
        assert (tmp_path / "run" / "data.json").exists() == is_recorded
        measured = cvae("evaluate", "--model", "run", "--metric", "mse", "--dataset", "folder:some")
        assert measured.returncode == 2
        assert f"the model knows other classes than folder:{root} has {said}" in measured.stderr


def test_captions_in_place_of_classes_are_an_error(cvae: Command, begun: dict[str, Path], tmp_path: Path) -> None:
    root = copied(begun["classes"], tmp_path)
    for part in ("train", "val"):
        names = [path.relative_to(root / part).as_posix() for path in (root / part).rglob("*.png")]
        lines = [json.dumps({"file_name": name, "text": "an animal"}) for name in names]
        (root / part / "metadata.jsonl").write_text("\n".join(lines))
    done = cvae("train", *RESUME)
    assert done.returncode == 2
    assert "some had classes when the run began, and has captions now" in done.stderr


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda root: None, None),
        (lambda root: os.utime(root / "train" / "cat" / "0.png"), None),
        (lambda root: save(root / "train" / "cat" / "9.png"), "13 training pictures, and had 12 when the run began"),
        (
            lambda root: save(root / "train" / "cat" / "0.png", colour=(9, 9, 9)),
            "other training pictures than when the run began",
        ),
        (lambda root: (root / "val" / "cat" / "5.png").unlink(), "11 validation pictures, and had 12"),
    ],
    ids=["nothing", "touched", "added", "replaced", "validation"],
)
def test_other_pictures_are_said(
    cvae: Command, begun: dict[str, Path], tmp_path: Path, change: Callable[[Path], object], said: str | None
) -> None:
    change(copied(begun["classes"], tmp_path))
    done = cvae("train", *RESUME)
    assert done.returncode == 0, done.stderr
    assert ("cvae: warning: " in done.stderr) == (said is not None)
    assert said is None or f"cvae: warning: some has {said}" in done.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_other_captions_are_said(cvae: Command, begun: dict[str, Path], tmp_path: Path) -> None:
    copied(begun["captions"], tmp_path)
    (tmp_path / "some" / "train" / "03.txt").write_text("a dark shade")
    done = cvae("train", *RESUME)
    assert done.returncode == 0, done.stderr
    assert "cvae: warning: some has other captions for its training pictures than when the run began\n" in done.stderr
