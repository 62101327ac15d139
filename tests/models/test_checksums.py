"""`SHA256SUMS` from Python: what is written, and how changed, missing and damaged files are told."""

import hashlib
from pathlib import Path

import pytest

from cvae_cli.errors import CorruptError
from cvae_cli.models.checksums import SUMS, accept, changing, damaged_files, read_sums, write_sums


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    files = {"b.bin": b"two", "a.txt": b"one"}
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_sums(tmp_path, files)
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
