"""`cvae train` says what it found in a folder before it trains, and `--dry-run` looks without training."""

import json
from pathlib import Path

import pytest
from conftest import FASHION, Command
from pictures_data import classes, coco, texts

SMALL = [
    *("--size", "16", "--epochs", "1", "--set", "architecture.network.width=8", "--set", "architecture.latent_dim=4"),
    *("--prior", "none", "--set", "data.epoch_size=1", "--precision", "fp32"),
]


def test_one_line_before_training_says_what_was_found_and_dry_run_says_the_same(cvae: Command, tmp_path: Path) -> None:
    folder = tmp_path / "pics"
    classes(folder / "training", 12, ("cat", "dog"))
    classes(folder / "testing", 4, ("cat", "dog"))
    (folder / "training" / "cat" / "raw.dng").write_bytes(b"x")
    line = f"folder:{folder}: train: 12 pictures in 2 classes (cat: 6, dog: 6) · test: 4 pictures · not read: 1 .dng"
    look = cvae("train", "folder:pics", "--dry-run", "--json")
    assert look.returncode == 0, look.stderr
    assert line in look.stderr.splitlines()
    assert json.loads(look.stdout)["data"]["name"] == f"folder:{folder}"
    assert not (tmp_path / "runs").exists()
    done = cvae("train", "folder:pics", *SMALL)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines().count(line) == 1
    config = json.loads((tmp_path / "runs" / "pics" / "model" / "config.json").read_text())
    assert [each["name"] for each in config["condition"]["classes"]] == ["cat", "dog"]
    assert line not in cvae("train", "folder:pics", "--dry-run", "--quiet").stderr


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("folder:/nonexistent", 3, "no folder /nonexistent"),
        ("folder:empty", 2, "has no pictures"),
        ("folder:texts --condition labels", 2, "has captions, no classes"),
        ("folder:texts --size 7", 2, "pictures of 7x7 pixels are not supported"),
        ("pictures --data folder:/nonexistent", 3, "no folder /nonexistent"),
        ("fashion-concat --data-dir empty", 3, "has no train-images-idx3-ubyte.gz"),
        ("coco-64 --data-dir empty", 3, "has no annotations/captions_train2017.json"),
        ("texts", 2, 'no recipe "texts". Did you mean "folder:texts"?'),
        ("texts/", 2, 'no recipe "texts/". Did you mean "folder:texts/"?'),
        ("a/run", 2, 'no recipe "a/run". Did you mean "--resume a/run"?'),
        ("scense", 2, 'no recipe "scense". Did you mean "scenes"?'),
    ],
)
def test_a_dry_run_fails_where_the_training_would(
    cvae: Command, tmp_path: Path, arguments: str, code: int, words: str
) -> None:
    (tmp_path / "empty").mkdir()
    texts(tmp_path / "texts", 3)
    (tmp_path / "a" / "run").mkdir(parents=True)
    (tmp_path / "a" / "run" / "recipe.toml").touch()
    done = cvae("train", *arguments.split(), "--dry-run")
    assert done.returncode == code, done.stderr
    assert words in done.stderr
    assert done.stdout == ""


def test_a_dry_run_looks_at_published_data_and_downloads_none(cvae: Command, tmp_path: Path) -> None:
    done = cvae("train", "fashion-concat", "--data-dir", FASHION, "--dry-run")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "fashion-mnist: 600 pictures")
    coco(tmp_path / "coco", train=3, val=1)
    done = cvae("train", "scenes", "--data-dir", "coco", "--dry-run")
    assert (done.returncode, done.stderr.splitlines()[0]) == (0, "coco: 3 pictures")
    for recipe, data in (("fashion-concat", "fashion-mnist"), ("coco-64", "coco"), ("fashion", "fashion-mnist")):
        done = cvae("train", recipe, "--dry-run")
        assert done.returncode == 0
        assert f"{data} is not on this machine yet: the training downloads it first" in done.stderr.splitlines()


@pytest.mark.parametrize(
    "arguments",
    [
        "train fashion-concat",
        "train fashion-concat --set data.name=kmnist",
        "train fashion --set data.name=cifar-10",
        "train scenes",
        "evaluate --model fashion --metric mse",
        "reconstruct --model scenes --dataset coco",
    ],
)
def test_data_that_cannot_be_downloaded_names_the_way_out(cvae: Command, arguments: str) -> None:
    done = cvae(*arguments.split())
    assert done.returncode == 3, done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr
    assert "or have a copy:  --data-dir takes a folder with" in done.stderr


def test_clip_that_cannot_be_downloaded_names_the_way_out(cvae: Command, tmp_path: Path) -> None:
    texts(tmp_path / "some", 3)
    done = cvae("train", "folder:some", "--condition", "clip")
    assert done.returncode == 3
    hints = done.stderr.splitlines()[-2:]
    assert hints[0].strip() == "download them once:  cvae download-weights clip"
    assert hints[1].strip() == "or learn with the encoder that came along:  --condition static"
    assert cvae("train", "folder:some", "--condition", "static", *SMALL).returncode == 0
