"""Streams that are closed, full or left by their reader, and other environments that a command may meet."""

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import pytest
from conftest import FASHION, Command
from PIL import Image

Shell = Callable[..., subprocess.CompletedProcess[bytes]]
ALL_CLOSED = "<&- >&- 2>&-"


@pytest.fixture
def shell(executable: str, clean_environment: dict[str, str], tmp_path: Path) -> Shell:
    """A function that runs a line of bash in an empty folder.

    In it, `cvae` is the command, and `own_cvae` the command in an interpreter of its own, which starts slowly.
    """

    def run(line: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
        own = f"own_cvae() {{ '{sys.executable}' -m cvae_cli \"$@\"; }}"
        script = f"cvae() {{ '{executable}' \"$@\"; }}\n{own}\n{line}"
        return subprocess.run(
            ["bash", "-c", script], env=clean_environment | environment, cwd=tmp_path, capture_output=True
        )

    return run


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- 2>&-", ">&- 2>&-", ALL_CLOSED])
def test_closed_streams_keep_what_is_for_them(shell: Shell, closed: str) -> None:
    done = shell(f"cvae train --list {closed}; echo $?; cvae train nonsense {closed} || exit $?")
    lines = done.stdout.decode().splitlines()
    list_is_seen, error_is_seen = ">&-" not in closed.split(), "2>&-" not in closed.split()
    assert done.returncode == 2
    assert lines[-1] == "0"
    assert (lines[0].split("\t")[0] == "coco-64") if list_is_seen else (len(lines) == 1)
    assert len(lines) == 1 + len([line for line in lines if "\t" in line])  # no error among the results
    assert done.stderr.decode().startswith('cvae: no recipe "nonsense"' if error_is_seen else "")
    assert bool(done.stderr) == error_is_seen


def test_all_streams_are_closed_before_the_interpreter_starts(shell: Shell) -> None:
    assert shell(f"own_cvae train --list {ALL_CLOSED}").returncode == 0
    assert shell(f"own_cvae train nonsense {ALL_CLOSED}").returncode == 2


def test_a_warning_for_a_closed_stderr_gets_into_no_result(shell: Shell) -> None:
    done = shell('cvae generate "a shirt and jeans" --model fashion -o - 2>&-')
    assert done.returncode == 0
    assert done.stdout.startswith(b"\x89PNG")
    assert done.stdout.endswith(b"IEND\xaeB`\x82")
    assert Image.open(BytesIO(done.stdout)).size == (28, 28)
    done = shell("own_cvae train fashion --dry-run --json 2>&-")  # with a note
    assert json.loads(done.stdout)["name"] == "fashion"


def test_what_a_closed_stream_is_needed_for_is_said(shell: Shell, tmp_path: Path) -> None:
    done = shell("cvae generate snow -o - >&-")
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (2, "cvae: stdout is closed")
    done = shell("cvae generate --from - -o x.png <&-")
    assert (done.returncode, done.stderr.decode().splitlines()[0]) == (2, "cvae: stdin is closed")
    assert not list(tmp_path.iterdir())


def test_a_training_without_any_stream_writes_what_it_always_does(shell: Shell, tmp_path: Path) -> None:
    arguments = f"fashion-fast --prior none --data-dir '{FASHION}' --limit 40 --epochs 1 --precision fp32"
    done = shell(f"cvae train {arguments} --set architecture.network.width=8 --out run {ALL_CLOSED}")
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert [json.loads(line)["epoch"] for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()] == [1]
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["name"] == "fashion-fast"


@pytest.mark.parametrize(
    "arguments", ["train --list", "train --list --json", "--help", "", "train fashion --dry-run -q"]
)
def test_a_reader_that_leaves_ends_the_command_in_silence(shell: Shell, arguments: str) -> None:
    # the reader has left before the command starts
    done = shell(f"exec 3> >(true); sleep 0.2; cvae {arguments} >&3")
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_reader_of_messages_that_leaves_ends_the_command_too(shell: Shell) -> None:
    done = shell("exec 3> >(true); sleep 0.2; cvae train nonsense 2>&3")
    assert (done.returncode, done.stdout) == (141, b"")
    done = shell("cvae train --list | head -n 1; exit ${PIPESTATUS[0]}")
    assert done.returncode in {0, 141}
    assert (done.stdout.split(b"\t")[0], done.stderr) == (b"coco-64", b"")


def test_a_full_disk_behind_a_stream(shell: Shell) -> None:
    done = shell("cvae train --list > /dev/full")
    assert done.returncode == 1
    assert done.stderr.decode().startswith("cvae: no space left on the device: stdout")
    assert done.stderr.count(b"\n") == 1
    done = shell("cvae train nonsense 2> /dev/full")
    assert (done.returncode, done.stdout) == (2, b"")


@pytest.mark.parametrize("arguments", ["train nonsense", "generate snow -o /tmp/never.png"])
def test_a_working_folder_that_is_gone_is_one_line(shell: Shell, arguments: str) -> None:
    done = shell(f"mkdir gone; cd gone; rmdir ../gone; own_cvae {arguments}")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode().splitlines()[0] == "cvae: the working folder has been deleted"
    assert done.stderr.count(b"\n") == 2


SCORES = r"picture\.png\tdress(\t[\d.e+-]+)+\nmean\t(\t[\d.e+-]+)+"
QUIET_TRAIN = f"train fashion-fast --prior none --data-dir {FASHION} --limit 40 --epochs 1 --precision fp32"


@pytest.mark.parametrize(
    ("arguments", "result"),
    [
        ("generate dress --model MODEL", r"dress\.png"),
        ("generate dress --model MODEL -o d.png", ""),
        ("generate dress --model MODEL --format png -o d", ""),
        ("generate dress", r"dress\.png"),  # without the note on a model for clothes
        ("reconstruct picture.png --prompt dress --model MODEL", SCORES),
        (f"evaluate --model MODEL --metric mse --samples 8 --data-dir {FASHION}", r"mse\t[\d.]+"),
        (f"{QUIET_TRAIN} --set architecture.network.width=8 --out run", "run/model"),
        ("train fashion --dry-run", '(?s)name = "fashion"\n.*'),
        ("train --list", "(?s)coco-64\tcoco\t.*"),
        ("download-weights --list", "(?s)clip\t605 MB\tno\t.*"),
    ],
)  # fmt: skip
def test_quiet_leaves_the_result_only(
    cvae: Command, quick_model: Path, tmp_path: Path, arguments: str, result: str
) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "picture.png")
    done = cvae(*arguments.replace("MODEL", str(quick_model)).split(), "-q")
    assert (done.returncode, done.stderr) == (0, "")
    assert re.fullmatch(result + ("\n" if result else ""), done.stdout), done.stdout


EVIL = "a\tb\nc\x1b[31m\u202e\x9b"
SPELLED = r"a\tb\nc\x1b[31m\u202e\x9b"


def test_names_of_files_and_classes_are_spelled_out_everywhere(
    cvae: Command, quick_model: Path, tmp_path: Path
) -> None:
    def run(*arguments: str | Path) -> tuple[str, str]:
        done = cvae(*arguments)
        said = done.stdout.replace("\n", "").replace("\t", "") + done.stderr.replace("\n", "")
        assert said.isprintable(), said
        return done.stdout, done.stderr

    picture = tmp_path / f"{EVIL}.png"
    Image.new("L", (28, 28)).save(picture)
    stdout, _ = run("reconstruct", picture, "--prompt", "dress", "--model", quick_model)
    assert [line.split("\t")[0] for line in stdout.splitlines()] == [f"{tmp_path}/{SPELLED}.png", "mean"]
    stdout, _ = run("reconstruct", picture, "--prompt", "dress", "--model", quick_model, "--json")
    assert json.loads(stdout)["images"][0]["image"] == str(picture)
    for arguments in (
        ["generate", "dress", "--model", EVIL], ["generate", EVIL, "--model", quick_model],
        ["generate", "dress", "--from", EVIL], ["train", EVIL], ["train", f"folder:{EVIL}"],
        ["train", "fashion", "--data", EVIL], ["train", "fashion", "--set", f"{EVIL}=1"], ["train", "--resume", EVIL],
        ["evaluate", "--metric", EVIL], ["download-weights", EVIL], [EVIL], ["train", f"--{EVIL}"],
        ["reconstruct", EVIL],
    ):  # fmt: skip
        _, stderr = run(*arguments)
        assert stderr.count("cvae: ") == 1
        assert r"c\x1b[31m\u202e\x9b" in stderr


def test_classes_of_a_model_are_spelled_out(cvae: Command, quick_model: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(quick_model, tmp_path / "model"))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace('"ankle boot"', json.dumps("boot\x1b[2J\u202e")))
    done = cvae("generate", "a horse", "--model", folder)
    assert done.returncode == 2
    assert done.stderr.replace("\n", "").isprintable()
    assert r"boot\x1b[2J\u202e" in done.stderr
