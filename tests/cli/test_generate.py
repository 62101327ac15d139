"""`cvae generate` in a pipe, in a script, and in a terminal."""

import io
import json
import os
import pty
import subprocess
from pathlib import Path

import pytest
from conftest import Command
from PIL import Image

from cvae_cli import CVAE
from cvae_cli.version import __version__


@pytest.fixture
def generate(cvae: Command, run_folder: Path) -> Command:
    def run(*arguments: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
        return cvae("generate", "--model", run_folder, *arguments, **options)

    return run


def tiles(path: Path, columns: int, count: int) -> list[bytes]:
    """Split a grid into its 28x28 pictures."""
    with Image.open(path) as sheet:
        corners = [((index % columns) * 30, (index // columns) * 30) for index in range(count)]
        return [sheet.crop((x, y, x + 28, y + 28)).tobytes() for x, y in corners]


def test_named_output_is_written_in_silence(generate: Command, tmp_path: Path) -> None:
    done = generate("a red summer dress", "-n", "4", "-o", "new/folder/out.png")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    with Image.open(tmp_path / "new" / "folder" / "out.png") as picture:
        assert picture.size == (58, 58)
        assert picture.mode == "L"
        assert picture.text == {
            "prompt": "a red summer dress",
            "n": "4",
            "pictures": "4",
            "model": "fashion-concat",
            "seed": "0",
            "temperature": "1.0",
            "software": f"cvae-cli {__version__}",
        }


def test_default_name_is_said_and_never_overwrites(generate: Command, tmp_path: Path) -> None:
    names = [generate("Ankle-Boots, please!").stdout for _ in range(2)]
    assert names == ["ankle-boots-please.png\n", "ankle-boots-please-2.png\n"]
    assert (tmp_path / "ankle-boots-please.png").read_bytes() == (tmp_path / "ankle-boots-please-2.png").read_bytes()


def test_same_picture_whatever_else_is_drawn(generate: Command, run_folder: Path, tmp_path: Path) -> None:
    generate("dress", "-n", "1", "--seed", "5", "-o", "one.png")
    generate("dress", "-n", "20", "--seed", "5", "--columns", "20", "-o", "many.png")
    generate("bag", "dress", "boots", "-n", "3", "--seed", "5", "-o", "rows.png")
    generate("bag", "dress", "-n", "2", "--seed", "5", "--separate", "-o", "files")
    (first,) = tiles(tmp_path / "one.png", 1, 1)
    assert tiles(tmp_path / "many.png", 20, 20)[0] == first
    assert tiles(tmp_path / "rows.png", 3, 9)[3] == first
    with Image.open(tmp_path / "files" / "3-dress.png") as picture:
        assert picture.tobytes() == first
        assert picture.text["sample"] == "0"
    pictures = CVAE.from_pretrained(run_folder).generate("dress", n=20, seed=5)
    assert [picture.tobytes() for picture in pictures] == tiles(tmp_path / "many.png", 20, 20)


def test_bytes_go_to_stdout(generate: Command, tmp_path: Path) -> None:
    done = generate("bag", "-o", "-", binary=True)
    with Image.open(io.BytesIO(done.stdout)) as picture:  # type: ignore[arg-type]
        assert picture.size == (28, 28)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("source", ["prompts.txt", "-"])
def test_prompts_come_from_a_file_or_stdin(generate: Command, tmp_path: Path, source: str) -> None:
    text = "\ufeffa dress\r\n\n  two BAGS  \nsneaker"
    (tmp_path / "prompts.txt").write_text(text, encoding="utf-8")
    done = generate("--from", source, "-n", "2", "--separate", "-o", "out", "--json", stdin=text)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["prompts"] == ["a dress", "two BAGS", "sneaker"]
    names = sorted(path.name for path in (tmp_path / "out").glob("*.png"))
    assert names == [
        "1-a-dress.png",
        "2-a-dress.png",
        "3-two-bags.png",
        "4-two-bags.png",
        "5-sneaker.png",
        "6-sneaker.png",
    ]
    assert [Path(name).name for name in result["files"]] == names


def test_several_classes_are_warned_about(generate: Command) -> None:
    done = generate("a shirt and jeans", "-o", "out.png")
    assert done.returncode == 0
    assert done.stderr == 'cvae: warning: "a shirt and jeans" names several classes: drawing shirt, not trouser\n'


def test_temperature_zero_draws_the_same_picture_again(generate: Command, tmp_path: Path) -> None:
    generate("dress", "-n", "2", "--temperature", "0", "-o", "cold.png")
    one, other = tiles(tmp_path / "cold.png", 2, 2)
    assert one == other


def test_terminal_gets_a_preview(
    executable: str, clean_environment: dict[str, str], run_folder: Path, tmp_path: Path
) -> None:
    leader, follower = pty.openpty()
    environment = {**clean_environment, "TERM": "xterm-256color", "COLUMNS": "60"}
    del environment["NO_COLOR"]
    with subprocess.Popen(
        [executable, "generate", "dress", "-n", "9", "--model", str(run_folder)],
        env=environment,
        cwd=tmp_path,
        stdout=follower,
    ) as process:
        os.close(follower)
        shown = b""
        while chunk := _read(leader):
            shown += chunk
    lines = shown.decode().splitlines()
    assert process.returncode == 0
    assert all(line.count("▀") <= 60 for line in lines)
    assert sum("▀" in line for line in lines) == 30  # scaled to 60x60 pixels, two per character
    assert lines[-1].startswith("dress.png   small · seed 0 · 28x28 · ")


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 1 << 16)
    except OSError:  # Linux raises this when the other side is closed
        return b""
