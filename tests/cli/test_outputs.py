"""Where pictures go: formats by the ending of the name, folders, stdout, and names by default."""

import io
import json
import os
import pty
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import Command
from PIL import Image
from PIL.ExifTags import Base

LOSSLESS = {"png", "webp", "tif", "tiff"}
KINDS = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}


@pytest.fixture
def draw(cvae: Command, quick_model: Path) -> Command:
    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return cvae("generate", "--model", quick_model, *arguments, **options)

    return run


def said_in(picture: Image.Image) -> dict[str, Any]:
    """What a picture's file says of how it was made."""
    match picture.format:
        case "PNG":
            return dict(picture.text)  # type: ignore[attr-defined]
        case "GIF":
            return dict(json.loads(picture.info["comment"]))
        case "TIFF":
            return dict(json.loads(picture.tag_v2[270]))  # type: ignore[attr-defined]
        case _:
            return dict(json.loads(picture.getexif()[Base.ImageDescription]))


@pytest.mark.parametrize("ending", ["png", "webp", "jpg", "jpeg", "avif", "gif", "tif", "tiff", "PNG", "Jpg"])
def test_the_ending_is_the_format(draw: Command, tmp_path: Path, ending: str) -> None:
    done = draw("dress", "bag", "-n", "3", "-o", f"out.{ending}")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert draw("dress", "bag", "-n", "3", "-o", "true.png").returncode == 0
    with Image.open(tmp_path / f"out.{ending}") as picture, Image.open(tmp_path / "true.png") as true:
        assert picture.format == KINDS.get(ending.lower(), ending.upper())
        difference = np.asarray(picture.convert("L")).astype(int) - np.asarray(true)
        assert abs(difference).mean() <= (0 if ending.lower() in LOSSLESS else 3)
        said = said_in(picture)
    assert (said["prompt"], said["model"], str(said["n"]), str(said["pictures"])) == ("dress\nbag", "fashion", "3", "6")


@pytest.mark.parametrize("command", ["generate", "reconstruct"])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("out.bmp", 'no picture format ".bmp"'),
        ("out.jpge", 'no picture format ".jpge". Did you mean ".jpg"?'),
        ("out.png.gz", 'no picture format ".gz"'),
        ("out", "out has no ending that says its format"),
    ],
)
def test_another_ending_is_refused_before_the_work(
    cvae: Command, tmp_path: Path, command: str, name: str, words: str
) -> None:
    done = cvae(command, "dress", "--model", "fashion", "-o", name)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"cvae: {words}")
    assert list(tmp_path.iterdir()) == []


def test_reconstructions_have_the_format_of_the_ending_too(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    Image.new("L", (28, 28), 90).save(tmp_path / "x.png")
    options = ["x.png", "--label", "bag", "--model", quick_model]
    done = cvae("reconstruct", *options, "-o", "pairs.jpg")
    assert done.returncode == 0, done.stderr
    with Image.open(tmp_path / "pairs.jpg") as pairs:
        assert (pairs.format, pairs.size, said_in(pairs)) == ("JPEG", (58, 28), {"model": "fashion"})
    done = cvae("reconstruct", *options, "-o", "-", binary=True)
    with Image.open(io.BytesIO(done.stdout)) as pairs:  # type: ignore[arg-type]
        assert (pairs.format, pairs.size) == ("PNG", (58, 28))
    assert done.stderr.startswith("mean: mse ")
    assert cvae("reconstruct", *options, "-o", "new/").returncode == 0
    assert (tmp_path / "new" / "pairs.png").exists()


def test_a_folder_gets_a_file_of_a_default_name(draw: Command, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    names = [draw("dress", "-o", place).stdout for place in ("new/er/", "new/er/", "there/")]
    assert names == ["new/er/dress.png\n", "new/er/dress-2.png\n", "there/dress.png\n"]
    assert all((tmp_path / name.strip()).is_file() for name in names)
    done = draw("dress", "-o", "there")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "cvae: cannot write there: it is a folder",
        "      a file of a default name in it:  -o there/",
    ]
    (tmp_path / "file").touch()
    assert draw("dress", "-o", "file/").returncode == 2


def test_a_picture_is_no_folder(draw: Command, tmp_path: Path) -> None:
    done = draw("dress", "--separate", "-o", "out.png")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("cvae: out.png names a picture, and --separate needs a folder\n")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", ["generate", "reconstruct"])
def test_bytes_are_kept_from_a_terminal_unless_forced(
    executable: str, clean_environment: dict[str, str], quick_model: Path, tmp_path: Path, command: str
) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "dress.png")
    subject = ["dress"] if command == "generate" else ["dress.png", "--label", "bag"]
    leader, follower = pty.openpty()
    arguments = [executable, command, *subject, "--model", str(quick_model), "-o", "-"]
    done = subprocess.run(
        arguments, env=clean_environment, cwd=tmp_path, stdout=follower, stderr=subprocess.PIPE, text=True
    )
    assert (done.returncode, done.stderr.splitlines()[0]) == (2, "cvae: a picture's bytes would garble the terminal")
    os.set_blocking(leader, False)
    with pytest.raises(BlockingIOError):
        os.read(leader, 1)
    if command == "generate":
        forced = subprocess.run([*arguments, "--force"], env=clean_environment, cwd=tmp_path, stdout=follower)
        assert forced.returncode == 0
        assert os.read(leader, 4) == b"\x89PNG"
    os.close(leader)
    os.close(follower)


def test_stdout_has_either_the_picture_or_json(draw: Command, cvae: Command) -> None:
    for done in (draw("dress", "-o", "-", "--json"), cvae("reconstruct", "x.png", "-o", "-", "--json")):
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("cvae: give either -o - or --json: both write to stdout\n")


def test_json_has_numbers_and_pictures_are_all_pictures(draw: Command) -> None:
    arguments = ["dress", "bag", "-n", "3", "--seed", "7", "--temperature", "0.5", "--json"]
    sheet = json.loads(draw(*arguments, "-o", "x.png").stdout)
    folder = json.loads(draw(*arguments, "-o", "x", "--separate").stdout)
    for said in (sheet, folder):
        assert (said["pictures"], said["seed"], said["temperature"]) == (6, 7, 0.5)
        assert (type(said["pictures"]), type(said["seed"])) == (int, int)
    assert sheet["n"] == 3
    assert len(folder["files"]) == 6


def test_parallel_commands_leave_a_file_each(
    executable: str, clean_environment: dict[str, str], quick_model: Path, tmp_path: Path
) -> None:
    def run(seed: int) -> str:
        arguments = [executable, "generate", "snow boot", "--model", str(quick_model), "--seed", str(seed)]
        return subprocess.run(
            arguments, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    with ThreadPoolExecutor(3) as pool:
        said = list(pool.map(run, range(3)))
    expected = {"snow-boot.png", "snow-boot-2.png", "snow-boot-3.png"}
    assert {name.strip() for name in said} == expected == {path.name for path in tmp_path.iterdir()}
    for seed, name in enumerate(said):
        with Image.open(tmp_path / name.strip()) as picture:
            assert picture.text["seed"] == str(seed)


def test_six_default_names_at_once_in_forks(
    quick_model: Path, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """Six writers of the same default name start together, as six commands that finish at the same moment."""
    code = (
        "import os, sys\nfrom pathlib import Path\nfrom cvae_cli.paths import write_new\n"
        "ready, go = os.pipe()\n"
        "for child in range(6):\n"
        "    if os.fork() == 0:\n"
        "        os.close(go); os.read(ready, 1)\n"
        "        write_new(Path('snow.png'), bytes([child])); os._exit(0)\n"
        "os.close(go)\n"
        "sys.exit(any(os.wait()[1] for _ in range(6)))\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=clean_environment, check=True)
    assert {path.read_bytes() for path in tmp_path.iterdir()} == {bytes([child]) for child in range(6)}
