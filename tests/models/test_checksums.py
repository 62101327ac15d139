"""`SHA256SUMS` from Python: what is written, and how changed, missing and damaged files are told."""

import hashlib
import json
import shutil
from pathlib import Path

import pytest
from helpers import Listener

from cvae_cli.errors import CorruptError
from cvae_cli.models.checksums import SUMS, accept, changing, damaged_files, read_sums, write_sums
from cvae_cli.models.pretrained import CARD, CONFIG, WEIGHTS
from cvae_cli.models.verify import accept_changes, check_folder, verify_model


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"b.bin": b"two", "a.txt": b"one"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_sums(tmp_path, {name: digest(content) for name, content in files.items()})
    return tmp_path


def test_the_lines_are_those_of_sha256sum_in_order_of_names(folder: Path) -> None:
    assert (folder / SUMS).read_text() == f"{digest(b'one')}  a.txt\n{digest(b'two')}  b.bin\n"
    assert damaged_files(folder) == []


def test_each_file_that_differs_is_named(folder: Path) -> None:
    (folder / "a.txt").unlink()
    (folder / "b.bin").write_bytes(b"too")
    (folder / "more.txt").write_bytes(b"a file without a digest is nobody's business")
    assert damaged_files(folder) == ["a.txt is missing", "b.bin does not have its digest"]
    (folder / "a.txt").mkdir()
    assert damaged_files(folder)[0] == "a.txt is missing"
    (folder / SUMS).unlink()
    assert read_sums(folder) is None
    assert damaged_files(folder) == []


@pytest.mark.parametrize("damage", ["", "\n", "empty line", "upper case", "order", "twice", "no end", "bytes"])
def test_digests_that_are_not_as_they_were_written_are_an_error(folder: Path, damage: str) -> None:
    content = (folder / SUMS).read_bytes()
    first, second = content.splitlines(keepends=True)
    damaged = {
        "empty line": content + b"\n", "upper case": content.upper(), "order": second + first,
        "twice": first + content, "no end": content[:-1], "bytes": b"\xff" + content,
    }  # fmt: skip
    (folder / SUMS).write_bytes(damaged.get(damage, damage.encode()))
    with pytest.raises(CorruptError, match="SHA256SUMS is damaged"):
        damaged_files(folder)


def test_there_are_no_digests_while_a_file_changes_and_others_are_kept(folder: Path) -> None:
    (folder / "b.bin").write_bytes(b"damaged before")
    with changing(folder, ["a.txt"]):
        assert not (folder / SUMS).exists()
        (folder / "a.txt").write_bytes(b"new")
    assert read_sums(folder) == {"a.txt": digest(b"new"), "b.bin": digest(b"two")}
    with pytest.raises(RuntimeError), changing(folder, ["a.txt"]):
        raise RuntimeError
    assert not (folder / SUMS).exists()  # no digests are better than wrong ones
    with changing(folder, ["a.txt"]):
        pass
    assert not (folder / SUMS).exists()  # nor do some of them appear in a model that had none


def test_only_files_that_exist_are_accepted(folder: Path) -> None:
    (folder / "a.txt").write_bytes(b"edited")
    (folder / "folder").mkdir()
    accept(folder, ["a.txt", "absent", "folder"])
    assert read_sums(folder) == {"a.txt": digest(b"edited")}


def test_files_in_the_cache_of_the_hub_are_compared_with_the_names_of_their_blobs(
    quick_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    folder, blobs = tmp_path / "models--a--b" / "snapshots" / "0", tmp_path / "models--a--b" / "blobs"
    folder.mkdir(parents=True)
    blobs.mkdir()
    for file in quick_model.iterdir():
        if file.name != SUMS:  # a model of an earlier version has none
            blob = blobs / hashlib.sha256(file.read_bytes()).hexdigest()
            blob.write_bytes(file.read_bytes())
            (folder / file.name).symlink_to(blob)
    listener = Listener()
    about = {"name": "a/b", "folder": str(folder)}
    assert verify_model("a/b", folder, callback=listener) == {**about, "state": "without digests", "problems": []}
    assert listener.progress == [(0, None)]
    (folder / "unfinished").mkdir()
    (folder / CARD).resolve().write_text("another card")
    (folder / WEIGHTS).resolve().write_bytes(b"no weights")
    found = verify_model("a/b", folder)
    assert found["state"] == "damaged"
    weights, card = sorted(found["problems"], reverse=True)
    assert card == f"{CARD} does not have its digest"
    assert weights.startswith(WEIGHTS)  # it is told once, although two checks find it
    (folder / WEIGHTS).unlink()
    assert f"{WEIGHTS} is missing" in verify_model("a/b", folder)["problems"]


def test_each_file_of_a_model_is_told_once_and_its_configuration_is_read(quick_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(quick_model, tmp_path / "model")
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, "more": 1}))
    (folder / CARD).write_text("another card")
    assert check_folder(folder) == [f"{name} does not have its digest" for name in (CARD, CONFIG)]
    (folder / SUMS).unlink()
    (problem,) = check_folder(folder)
    assert problem.startswith(f"{CONFIG}: ")
    (folder / CONFIG).write_text(json.dumps({**config, "format": 2}))
    assert check_folder(folder) == [f"{CONFIG} has format 2, this version reads format 1"]
    with pytest.raises(CorruptError, match="has format 2"):
        accept_changes(folder)
    assert not (folder / SUMS).exists()
    (folder / CONFIG).write_text(json.dumps(config))
    assert check_folder(folder) == []
