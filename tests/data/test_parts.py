"""Parts of data sets: every class has pictures in each, as far as it can spare them."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from conftest import Command
from small import captioned, save

from cvae_cli import CVAE
from cvae_cli.data.conditions import Labels, name_classes
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.data.folder import Folder
from cvae_cli.data.parts import first_of_each, hold_out_tenth, spread

TINY = [
    *("--size", "16", "--epochs", "1", "--prior", "none", "--batch-size", "4", "--precision", "fp32"),
    *("--set", "data.epoch_size=1", "--set", "architecture.network.width=8", "--latent-dim", "4"),
]


def make(root: Path, sizes: dict[str, int]) -> Path:
    """Make a folder of classes with so many pictures each."""
    for name, size in sizes.items():
        for number in range(size):
            save(root / name / f"{number}.png", colour=(number, 40, 90))
    return root


def listed(root: Path, split: str, limit: int | None = None) -> Counter[str]:
    """Return how many pictures of each class are in a part."""
    found = Folder(f"folder:{root}").list_pictures(split).limit(limit)
    return Counter(file.split("/")[0] for file in found.files)


def in_memory(classes: list[int]) -> Dataset:
    labels = Labels(np.array(classes), name_classes([f"class {n}" for n in range(max(classes) + 1)], "here"))
    return dataset_from_pixels("some", "train", np.zeros((len(classes), 8, 8, 3), np.uint8), labels, "none")


@pytest.mark.parametrize(
    ("sizes", "tested"),
    [
        ({"cat": 20, "dog": 10, "emu": 30}, {"cat": 2, "dog": 1, "emu": 3}),
        ({"cat": 40, "cow": 1, "yak": 1}, {"cat": 4}),
        ({"cat": 50, "dog": 3}, {"cat": 4, "dog": 1}),
        ({str(number): 3 for number in range(1, 13)}, {str(number): 1 for number in range(1, 13)}),
        ({"cat": 2, "dog": 2}, None),
        ({"cow": 1, "yak": 1}, None),
    ],
)
def test_the_test_part_has_each_class_and_leaves_some_of_each(
    tmp_path: Path, sizes: dict[str, int], tested: dict[str, int] | None
) -> None:
    make(tmp_path, sizes)
    train, test = listed(tmp_path, "train"), listed(tmp_path, "test")
    assert train + test == Counter(sizes)
    assert test == tested if tested is not None else test.total() == 1
    assert set(train) == set(sizes) or max(sizes.values()) == 1
    assert listed(tmp_path, "test") == test


def test_a_limit_takes_from_each_class(tmp_path: Path) -> None:
    make(tmp_path / "train", {"cat": 20, "dog": 60, "emu": 2})
    make(tmp_path / "test", {"cat": 1})
    assert listed(tmp_path, "train", 8).total() == 8
    kinds = Folder(f"folder:{tmp_path}").list_pictures("train").limit(8)
    assert Counter(file.split("/")[1] for file in kinds.files) == {"cat": 2, "dog": 5, "emu": 1}
    assert [kinds.conditions.text(row) for row in range(8)] == [file.split("/")[1] for file in kinds.files]


def test_positions_are_in_order_and_in_proportion() -> None:
    assert spread(np.array([0] * 6 + [1] * 2), 4).tolist() == [0, 1, 2, 6]
    assert spread(np.array([2, 2, 0]), 3).tolist() == [0, 1, 2]
    assert spread(np.array([0, 0, 1, 2]), 2).tolist() == [0, 2]
    assert first_of_each(np.array([0, 1, 0, 1, 1]), 3).tolist() == [0, 1, 2]
    assert first_of_each(np.array([0, 0, 0, 1]), 3).tolist() == [0, 1, 3]
    assert hold_out_tenth(np.array([0, 0, 0, 1])).tolist() == [0]


def test_validation_never_takes_the_only_picture_of_a_class() -> None:
    data = in_memory([0] * 30 + list(range(1, 10)))
    for seed in range(30):
        train, held_out = data.divide(2000, seed)
        assert (len(train), len(held_out)) == (36, 3)
        assert train.conditions.unseen() == []
    assert in_memory([0, 0, 2]).conditions.unseen() == ["class 1"]


def test_classes_that_cannot_be_learned_are_said(cvae: Command, tmp_path: Path) -> None:
    make(tmp_path / "some" / "train", {"cat": 6, "dog": 6})
    make(tmp_path / "some" / "test", {"cat": 1, "emu": 1, "yak": 1})
    for condition in ("labels", "static"):
        done = cvae("train", "folder:some", *TINY, "--condition", condition, "--out", condition)
        assert done.returncode == 0, done.stderr
        assert (
            'warning: no training picture shows the 2 classes "emu", "yak", so such prompts mean nothing' in done.stderr
        )


def test_val_is_what_epochs_are_chosen_by(cvae: Command, tmp_path: Path) -> None:
    for split, n in (("train", 20), ("valid", 7)):
        captioned(tmp_path / "some" / split, n)
    done = cvae("train", "folder:some", *TINY, "--out", "run")
    assert done.returncode == 0, done.stderr
    assert "learns from 20 pictures of some, validates on 7\n" in done.stderr
    captioned(tmp_path / "other" / "train", 20)
    done = cvae("train", "folder:other", *TINY, "--out", "run-2")
    assert done.returncode == 0, done.stderr
    # a tenth is the test part, and a tenth of the rest is held out
    assert "learns from 17 pictures of other, validates on 1\n" in done.stderr


def test_pictures_are_of_the_class_that_their_folder_names(cvae: Command, tmp_path: Path) -> None:
    names = ["C", "C++", "dog", "dogs", "\u221a"]
    make(tmp_path / "some", dict.fromkeys(names, 4))
    done = cvae("train", "folder:some", *TINY, "--out", "run")
    assert done.returncode == 0, done.stderr
    done = cvae("reconstruct", *(tmp_path / "some" / name / "0.png" for name in names), "--model", "run")
    assert done.returncode == 0, done.stderr
    assert [line.split("\t")[1] for line in done.stdout.splitlines()[:-1]] == names
    for name in names:
        done = cvae("reconstruct", tmp_path / "some" / "C" / "0.png", "--prompt", name, "--model", "run", "-o", "x.png")
        assert done.stdout.splitlines()[0].split("\t")[1] == name
    model = CVAE.from_pretrained(tmp_path / "run")
    drawn = model.sample(model.condition(names), same_noise=True)  # only the class can tell them apart
    assert len(drawn.flatten(1).unique(dim=0)) == len(names)


def test_classes_that_look_the_same_are_an_error_before_training(cvae: Command, tmp_path: Path) -> None:
    make(tmp_path / "some", {"caf\u00e9": 3, "cafe\u0301": 3})
    done = cvae("train", "folder:some", *TINY, "--out", "run")
    assert done.returncode == 2
    assert "no prompt could tell the classes 'cafe\\u0301' and 'caf\\xe9' apart" in done.stderr
    make(tmp_path / "other", {"C": 3, "C++": 3})
    done = cvae("train", "folder:other", *TINY, "--condition", "static", "--out", "run")
    assert done.returncode == 2
    assert 'the text encoder static reads the classes "C" and "C++" as the same' in done.stderr
    assert not (tmp_path / "run").exists()
