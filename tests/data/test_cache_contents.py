"""What lies in the cache, from Python: sizes and times to the number, and what is left when something is removed."""

import os
import time
from pathlib import Path

import pytest
from filelock import FileLock
from small import captioned

from cvae_cli.data.cache_contents import CachedThing, age, cache_contents, clear
from cvae_cli.data.catalog import load_dataset
from cvae_cli.errors import UsageError


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache with a data set in two files, prepared pictures with vectors, a preparation that has begun, weights."""
    home = tmp_path / "home"
    monkeypatch.setenv("CVAE_HOME", str(home))
    load_dataset(f"folder:{captioned(tmp_path / 'pictures' / 'test', 3).parent}", "test", size=8)
    (folder,) = (each for each in (home / "prepared").iterdir() if each.is_dir())
    (folder / "captions-1.f16").write_bytes(bytes(100))
    (folder / "captions-1.f16.digest").write_bytes(bytes(20))
    (home / "prepared" / "begun.part").mkdir()
    for name, size, changed in (("train.gz", 10, 90_000), ("deep/test.gz", 5, 86_400)):
        path = home / "datasets" / "mnist" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(size))
        os.utime(path, (changed, changed))
    (home / "datasets" / "notes.txt").write_text("no data set")
    (home / "weights").mkdir()
    (home / "weights" / "w.pth").write_bytes(bytes(7))
    (home / "weights" / "w.pth.lock").touch()
    (home / "weights" / "folder").mkdir()
    return home


def find(kind: str, number: int = 0) -> CachedThing:
    return cache_contents(kind)[number]


def test_sizes_and_times_are_those_of_the_files(home: Path, tmp_path: Path) -> None:
    name = f"folder:{tmp_path / 'pictures'} test 8x8"
    folder = find("vectors").paths[0].parent
    index = (folder / "index.json").stat().st_size
    assert [(each.kind, each.name, each.length) for each in cache_contents()] == [
        ("datasets", "mnist", 15),
        ("prepared", "begun.part", 0),
        ("prepared", name, 3 * 8 * 8 * 3 + index),
        ("vectors", f"captions of {name}", 120),
        ("weights", "w.pth", 7),
    ]
    mnist = find("datasets")
    assert mnist.to_dict() == {
        "kind": "datasets",
        "name": "mnist",
        "paths": [str(home / "datasets" / "mnist")],
        "length": 15,
        "changed": "1970-01-02T01:00:00Z",  # of the file that was written last
    }
    assert mnist.row()[:3] == ["datasets", "mnist", "15 B"]
    assert CachedThing("weights", "w", (), 1_234_560_000, time.time() - 7260).row()[2:] == ["1.2 GB", "2 hours"]
    assert abs(find("prepared").changed - time.time()) < 60
    assert [path.name for path in find("vectors").paths] == ["captions-1.f16", "captions-1.f16.digest"]


def test_an_empty_data_set_is_as_old_as_its_folder(home: Path) -> None:
    (home / "datasets" / "empty").mkdir()
    os.utime(home / "datasets" / "empty", (5000, 5000))
    assert (find("datasets").name, find("datasets").length, find("datasets").changed) == ("empty", 0, 5000)


def test_nothing_is_in_no_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "absent"))
    assert cache_contents() == []
    with pytest.raises(UsageError, match='no kind "vector"'):
        cache_contents("vector")


def test_what_is_removed_and_what_is_left(home: Path) -> None:
    vectors, begun, pixels = find("vectors"), find("prepared", 0), find("prepared", 1)
    folder = pixels.paths[0]
    assert clear(vectors)
    assert sorted(path.name for path in folder.iterdir()) == ["index.json", "pixels.bin"]
    assert clear(begun)
    assert clear(pixels)
    assert list((home / "prepared").iterdir()) == []  # nor are there locks
    assert clear(find("datasets"))
    assert [path.name for path in (home / "datasets").iterdir()] == ["notes.txt"]
    assert clear(find("weights"))
    assert not (home / "weights" / "w.pth").exists()
    assert cache_contents() == []


def test_what_somebody_else_has_removed_is_gone(home: Path) -> None:
    vectors, weights = find("vectors"), find("weights")
    vectors.paths[1].unlink()
    weights.paths[0].unlink()
    assert clear(vectors)
    assert clear(weights)
    assert {each.kind for each in cache_contents()} == {"datasets", "prepared"}


def test_what_another_process_makes_stays(home: Path) -> None:
    (home / "datasets" / "mnist" / "deep" / "test.gz.lock").touch()
    held = {
        "datasets": home / "datasets" / "mnist" / "deep" / "test.gz.lock",
        "prepared": home / "prepared" / "begun.lock",
        "vectors": find("vectors").paths[0].parent.with_name(find("vectors").paths[0].parent.name + ".lock"),
        "weights": home / "weights" / "w.pth.lock",
    }
    before = cache_contents()
    for kind, lock in held.items():
        with FileLock(lock):
            assert not clear(find(kind)), kind
    assert [each.name for each in cache_contents()] == [each.name for each in before]


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "under a minute"), (59.9, "under a minute"), (60.0, "1 minute"), (119.0, "1 minute"),
        (120.0, "2 minutes"), (3599.0, "59 minutes"), (3600.0, "1 hour"), (86_399.0, "23 hours"), (86_400.0, "1 day"),
        (172_800.0, "2 days"), (86_400_000.0, "1,000 days"),
    ],
)  # fmt: skip
def test_ages_are_rounded_down(seconds: float, words: str) -> None:
    assert age(seconds) == words
