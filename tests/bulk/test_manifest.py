"""A manifest is not believed: what it lists is looked for, and a damaged one is mended or named."""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from helpers import Listener

from cvae_cli.bulk.generate import generate_files
from cvae_cli.errors import CvaeError, UsageError

PROMPTS = ["dress", "bag", "coat"]

Draw = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def draw(cvae: Command, quick_model: Path) -> Draw:
    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return cvae("generate", *PROMPTS, "-n", "2", "--model", quick_model, "-o", "out", *options)

    return run


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.name != ".lock"}


def lines(folder: Path) -> list[Any]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_bytes().splitlines()]


def empty(path: Path) -> None:
    path.write_bytes(b"")


def cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


@pytest.mark.parametrize("damage", [Path.unlink, empty, cut])
def test_files_that_are_gone_are_drawn_again_and_no_others(
    draw: Draw, tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    folder = tmp_path / "out"
    assert draw("--separate").returncode == 0
    before = contents(folder)
    assert [line["bytes"] for line in lines(folder)[1:]] == [len(before[line["file"]]) for line in lines(folder)[1:]]
    gone = ["1-dress.png", "3-bag.png", "4-bag.png", "6-coat.png"]
    for name in gone:
        damage(folder / name)
    for name in ("2-dress.png", "5-coat.png"):
        os.utime(folder / name, ns=(0, 0))
    done = draw("--separate", "--json")
    assert (done.returncode, done.stderr) == (0, "4 pictures in out are gone or damaged, and are drawn again\n")
    assert json.loads(done.stdout)["pictures"] == 6
    assert contents(folder) == before
    assert [(folder / name).stat().st_mtime_ns for name in ("2-dress.png", "5-coat.png")] == [0, 0]
    assert draw("--separate").stderr == "all 6 pictures are in out already\n"


def test_shards_that_are_gone_are_drawn_again(quick_model: Path, tmp_path: Path) -> None:
    def write(*prompts: str) -> int:
        return generate_files(quick_model, prompts, tmp_path, format="webdataset", n=2).new

    assert [write("dress"), write("dress", "bag"), write("dress", "bag", "coat")] == [2, 2, 2]
    before = contents(tmp_path)
    (tmp_path / "000000.tar").unlink()
    os.truncate(tmp_path / "000001.tar", 1000)
    assert write("dress", "bag", "coat") == 4
    assert contents(tmp_path) == before


def test_what_is_drawn_again_comes_before_what_is_new_and_has_its_new_name(quick_model: Path, tmp_path: Path) -> None:
    prompts = ["dress"] * 8
    generate_files(quick_model, prompts, tmp_path)
    for number in (2, 8):
        (tmp_path / f"{number}-dress.png").unlink()
    listener = Listener()
    files = generate_files(quick_model, [*prompts, "bag", "bag"], tmp_path, callback=listener)
    assert (files.total, files.new) == (10, 4)
    assert listener.notices == [f"2 pictures in {tmp_path} are gone or damaged, and are drawn again"]
    names = ["1-dress.png", "02-dress.png", *(f"{number}-dress.png" for number in range(3, 8)), "08-dress.png"]
    assert [path.name for path in files.paths()] == [*names, "09-bag.png", "10-bag.png"]
    assert all(
        path.stat().st_size == line["bytes"] for path, line in zip(files.paths(), lines(tmp_path)[1:], strict=True)
    )


def test_a_mistake_while_drawing_again_keeps_what_is_done(quick_model: Path, tmp_path: Path) -> None:
    prompts = ["dress", "bag", "coat"]
    generate_files(quick_model, prompts, tmp_path)
    before = contents(tmp_path)
    for name in ("1-dress.png", "3-coat.png"):
        (tmp_path / name).unlink()

    def stop(event: object) -> None:
        if (tmp_path / "1-dress.png").exists():
            raise CvaeError("stopped")

    with pytest.raises(CvaeError, match="stopped"):
        generate_files(quick_model, prompts, tmp_path, callback=stop)
    assert not (tmp_path / "3-coat.png").exists()
    assert (tmp_path / "manifest.jsonl").read_bytes() == before["manifest.jsonl"]
    assert generate_files(quick_model, prompts, tmp_path).new == 1
    assert contents(tmp_path) == before


def test_every_listed_prompt_is_compared(quick_model: Path, tmp_path: Path) -> None:
    generate_files(quick_model, ["dress", "bag", "coat"], tmp_path)
    with pytest.raises(UsageError, match=r'picture 2 in .* is of "bag", and the prompts now ask for "shirt" there'):
        generate_files(quick_model, ["dress", "shirt", "coat"], tmp_path)


@pytest.mark.parametrize("tail", [b'{"file": "7', b'{"file": "3-bag.png", "prompt": "bag", "sam', b"\0" * 99, b"\n"])
def test_a_torn_last_line_heals(draw: Draw, tmp_path: Path, tail: bytes) -> None:
    assert draw("--separate").returncode == 0
    before = contents(tmp_path / "out")
    whole = before["manifest.jsonl"].splitlines(keepends=True)
    (tmp_path / "out" / "manifest.jsonl").write_bytes(b"".join(whole[:3]) + tail)
    done = draw("--separate")
    assert (done.returncode, done.stdout) == (0, "")
    assert contents(tmp_path / "out") == before


def settings_with(**changes: object) -> Callable[[bytes], bytes]:
    def change(content: bytes) -> bytes:
        first, *rest = content.splitlines(keepends=True)
        return json.dumps(json.loads(first) | changes).encode() + b"\n" + b"".join(rest)

    return change


def entry_with(**changes: object) -> Callable[[bytes], bytes]:
    """Change the entry in line 3."""

    def change(content: bytes) -> bytes:
        each = content.splitlines(keepends=True)
        each[2] = json.dumps(json.loads(each[2]) | changes).encode() + b"\n"
        return b"".join(each)

    return change


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda content: content.decode().encode("utf-16"), "manifest.jsonl is damaged"),
        (lambda content: content[20:], "manifest.jsonl is damaged"),
        (lambda content: content.replace(b"\n", b" "), "manifest.jsonl is damaged"),
        (lambda content: b"", "manifest.jsonl is damaged"),
        (settings_with(seed="0"), "manifest.jsonl is damaged"),
        (settings_with(seed=True), "manifest.jsonl is damaged"),
        (settings_with(n=[2]), "manifest.jsonl is damaged"),
        (settings_with(weights=None), "manifest.jsonl is damaged"),
        (entry_with(file=7), "manifest.jsonl, line 3: not an entry"),
        (entry_with(file="../2-dress.png"), "manifest.jsonl, line 3: not an entry"),
        (entry_with(prompt=["dress"]), "manifest.jsonl, line 3: not an entry"),
        (entry_with(sample="1"), "manifest.jsonl, line 3: not an entry"),
        (entry_with(sample=0), "manifest.jsonl, line 3: not an entry"),
        (entry_with(pictures="two"), "manifest.jsonl, line 3: not an entry"),
        (entry_with(pictures=3), "manifest.jsonl, line 3: not an entry"),
        (entry_with(pictures=-2), "manifest.jsonl, line 3: not an entry"),
        (entry_with(bytes="many"), "manifest.jsonl, line 3: not an entry"),
        (lambda content: content.replace(b'"2-dress', b'\xff"2-dress'), "manifest.jsonl, line 3: not an entry"),
        (lambda content: content.replace(b'{"file": "2', b"[" * 100_000), "manifest.jsonl, line 3: not an entry"),
        (lambda content: content.replace(b'"sample": 1', b'"sample": ' + b"1" * 9999), "line 3: not an entry"),
    ],
)
def test_a_damaged_manifest_is_one_clear_line(
    draw: Draw, tmp_path: Path, damage: Callable[[bytes], bytes], words: str
) -> None:
    assert draw("--separate").returncode == 0
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_bytes(damage(path.read_bytes()))
    before = contents(tmp_path / "out")
    done = draw("--separate")
    assert (done.returncode, done.stdout) == (4, "")
    said, hint = done.stderr.splitlines()
    assert words in said
    assert "remove out/manifest.jsonl to start over" in hint
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("name", ["a\0b.png", "\ud800.png", "x" * 300, ".png"])
def test_a_name_that_no_file_can_have_is_a_file_that_is_gone(draw: Draw, tmp_path: Path, name: str) -> None:
    assert draw("--separate").returncode == 0
    before = contents(tmp_path / "out")
    path = tmp_path / "out" / "manifest.jsonl"
    path.write_bytes(entry_with(file=name)(path.read_bytes()))
    assert draw("--separate").returncode == 0
    assert contents(tmp_path / "out") == before


@pytest.mark.parametrize("make", [Path.mkdir, os.mkfifo], ids=["folder", "pipe"])
def test_something_else_in_place_of_the_manifest_is_refused(
    draw: Draw, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    (tmp_path / "out").mkdir()
    make(tmp_path / "out" / "manifest.jsonl")
    done = draw("--separate")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("cvae: out/manifest.jsonl is not a file\n")
