"""A run is resumed on a folder that has changed: other classes are an error, other pictures are said."""

import json
import os
import shutil
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


def started(cvae: Command, *options: str) -> None:
    done = cvae("train", "folder:some", *TRAIN, *options, "--out", "run")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "of an earlier version"])
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
    cvae: Command, tmp_path: Path, change: Callable[[Path], object], said: str, recorded: bool
) -> None:
    root = make_classes(tmp_path / "some")
    started(cvae)
    if not recorded:
        (tmp_path / "run" / "data.json").unlink()
    before = (tmp_path / "run" / "metrics.jsonl").read_bytes()
    change(root)
    done = cvae("train", *RESUME)
    assert done.returncode == 2
    assert f"some has other classes than when the run began {said}" in done.stderr
    assert (tmp_path / "run" / "metrics.jsonl").read_bytes() == before
    measured = cvae("evaluate", "--model", "run", "--metric", "mse", "--dataset", "folder:some")
    assert measured.returncode == 2
    assert f"the model knows other classes than folder:{root} has {said}" in measured.stderr


def test_captions_in_place_of_classes_are_an_error(cvae: Command, tmp_path: Path) -> None:
    root = make_classes(tmp_path / "some")
    started(cvae)
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
    cvae: Command, tmp_path: Path, change: Callable[[Path], object], said: str | None
) -> None:
    root = make_classes(tmp_path / "some")
    started(cvae)
    change(root)
    done = cvae("train", *RESUME)
    assert done.returncode == 0, done.stderr
    assert ("cvae: warning: " in done.stderr) == (said is not None)
    assert said is None or f"cvae: warning: some has {said}" in done.stderr
    assert len((tmp_path / "run" / "metrics.jsonl").read_text().splitlines()) == 2


def test_other_captions_are_said(cvae: Command, tmp_path: Path) -> None:
    captioned(tmp_path / "some" / "train", 12)
    captioned(tmp_path / "some" / "val", 3)
    started(cvae)
    (tmp_path / "some" / "train" / "03.txt").write_text("a dark shade")
    done = cvae("train", *RESUME)
    assert done.returncode == 0, done.stderr
    assert "cvae: warning: some has other captions for its training pictures than when the run began\n" in done.stderr
