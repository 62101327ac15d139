"""`cvae cache`: what was downloaded and prepared, its size and its age, and how it is removed."""

import json
import os
import time
from pathlib import Path

import pytest
from conftest import Command
from filelock import FileLock
from PIL import Image


@pytest.fixture
def env(cvae: Command, tmp_path: Path) -> dict[str, str]:
    """An environment whose cache has prepared pictures with vectors, a data set and weights."""
    env = {"CVAE_HOME": str(tmp_path / "cache")}
    for number in range(20):
        path = tmp_path / "photos" / f"{number}.png"
        path.parent.mkdir(exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
        path.with_suffix(".txt").write_text(f"a red picture\nnumber {number}\n")
    more = ["--size", "16", "--epochs", "1", "--set", "architecture.network.width=8", "--prior", "none", "--out", "run"]
    done = cvae("train", "folder:photos", *more, env=env)
    assert done.returncode == 0, done.stderr
    (tmp_path / "cache" / "datasets" / "mnist").mkdir(parents=True)
    (tmp_path / "cache" / "datasets" / "mnist" / "train.gz").write_bytes(bytes(2_000_000))
    (tmp_path / "cache" / "weights").mkdir()
    (tmp_path / "cache" / "weights" / "weights-inception-2015-12-05-6726825d.pth").write_bytes(bytes(1_000_000))
    old = time.time() - 3 * 86_400 - 60
    os.utime(tmp_path / "cache" / "datasets" / "mnist" / "train.gz", (old, old))
    return env


def test_the_cache_is_listed_verified_and_cleared(cvae: Command, env: dict[str, str], tmp_path: Path) -> None:
    listed = json.loads(cvae("cache", "list", "--json", env=env).stdout)
    kinds = [each["kind"] for each in listed]
    assert kinds == sorted(kinds)
    assert set(kinds) == {"datasets", "prepared", "vectors", "weights"}
    (mnist,) = [each for each in listed if each["kind"] == "datasets"]
    assert (mnist["name"], mnist["length"]) == ("mnist", 2_000_000)
    (row,) = [line for line in cvae("cache", "list", env=env).stdout.splitlines() if "mnist" in line]
    assert row == "datasets\tmnist\t2.0 MB\t3 days"
    files = [path for path in (tmp_path / "cache" / "prepared").rglob("*") if path.is_file() and path.suffix != ".lock"]
    kept = [each["length"] for each in listed if each["kind"] in {"prepared", "vectors"}]
    assert sum(kept) == sum(path.stat().st_size for path in files)

    done = cvae("cache", "verify", "--json", env=env)  # the weights are not those of the registry
    assert done.returncode == 4
    assert {each["name"]: each["state"] for each in json.loads(done.stdout)}["weights inception"] == "damaged"

    done = cvae("cache", "clear", env=env)
    assert (done.returncode, done.stdout) == (2, "")
    assert "there is no terminal to ask" in done.stderr
    assert cvae("cache", "clear", "vector", "--yes", env=env).returncode == 2
    assert json.loads(cvae("cache", "list", "--json", env=env).stdout) == listed

    assert cvae("cache", "clear", "vectors", "--yes", env=env).returncode == 0
    left = json.loads(cvae("cache", "list", "--json", env=env).stdout)
    assert [each["kind"] for each in left] == [kind for kind in kinds if kind != "vectors"]
    folder = Path(next(each["paths"][0] for each in left if each["kind"] == "prepared"))
    with FileLock(folder.with_name(folder.name + ".lock")):  # as a process that prepares pictures holds it
        done = cvae("cache", "clear", "--yes", env=env)
    assert done.returncode == 0, done.stderr
    assert "is in use by another process, and stays" in done.stderr
    assert folder.is_dir()
    assert not (tmp_path / "cache" / "datasets" / "mnist").exists()
    assert cvae("cache", "clear", "--yes", env=env).returncode == 0
    assert json.loads(cvae("cache", "list", "--json", env=env).stdout) == []
    done = cvae("train", "folder:photos", "--dry-run", env=env)
    assert done.returncode == 0
