"""`cvae generate --format`: generate many pictures into a folder, interrupt it in every way, and resume."""

import hashlib
import io
import json
import resource
import shutil
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Command
from forkserver import KILL
from PIL import Image
from PIL.ExifTags import Base

from cvae_cli import CVAE
from cvae_cli.version import __version__

FORMATS = ["png", "webp", "webdataset"]
DRAWN = {"model": "fashion", "seed": 3, "temperature": 0.8, "software": f"cvae-cli {__version__}"}

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def bulk(cvae: Command, quick_model: Path) -> Command:
    def run(*arguments: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
        return cvae("generate", "--model", quick_model, *arguments, **options)

    return run


@pytest.fixture
def start(executable: str, clean_environment: dict[str, str], quick_model: Path, tmp_path: Path) -> Iterator[Start]:
    """Start the command as a process that can receive signals."""
    processes = []

    def run(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        processes.append(
            subprocess.Popen(
                [executable, "generate", "--model", str(quick_model), *arguments],
                env=clean_environment,
                cwd=tmp_path,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                **options,
            )
        )
        return processes[-1]

    yield run
    for process in processes:
        process.kill()
        process.communicate()


def written(folder: Path) -> dict[str, str]:
    """Return the digest of every file in a folder, except hidden files."""
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if not path.name.startswith(".")
    }


def manifest(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "manifest.jsonl").read_text().splitlines()]


def wait_for_lines(folder: Path, count: int, process: subprocess.Popen[str]) -> None:
    path = folder / "manifest.jsonl"
    while not path.exists() or path.read_bytes().count(b"\n") < count:
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


def read_back(folder: Path, format: str) -> list[tuple[bytes, dict[str, str]]]:
    """Return the pixels of the pictures in a folder, in order, and the metadata of their files."""
    pictures = []
    for path in sorted(folder.glob(f"*.{'tar' if format == 'webdataset' else format}")):
        if format == "webdataset":
            with tarfile.open(path) as tar:
                members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
            for name in sorted({name.partition(".")[0] for name in members}):
                said = json.loads(members[f"{name}.json"])
                assert members[f"{name}.txt"].decode() == said["prompt"]
                with Image.open(io.BytesIO(members[f"{name}.png"])) as picture:
                    pictures.append((picture.convert("L").tobytes(), said))
        else:
            with Image.open(path) as picture:
                said = picture.text if format == "png" else json.loads(picture.getexif()[Base.ImageDescription])
                pictures.append((picture.convert("L").tobytes(), said))
    return pictures


@pytest.mark.parametrize("format", FORMATS)
def test_pictures_are_those_of_each_prompt_alone(bulk: Command, quick_model: Path, tmp_path: Path, format: str) -> None:
    name, n = ("fashion", 11) if format == "png" else (str(quick_model), 33)  # together more than a batch of 32
    prompts = ["a dress", "sneaker – Größe 9", "two bags"]
    lines = [json.dumps({"id": 7, "prompt": prompt}) for prompt in prompts[1:]]
    (tmp_path / "prompts.jsonl").write_text("\n\n".join(lines))
    arguments = [prompts[0], "--from", "prompts.jsonl", "-n", str(n), "--seed", "3", "--temperature", "0.8"]
    done = bulk(*arguments, "--format", format, "-o", "new/out", "--model", name, "--json")
    assert (done.returncode, [line for line in done.stderr.splitlines() if not line.startswith("drawing")]) == (0, [])
    assert json.loads(done.stdout) == {
        "folder": "new/out",
        "pictures": 3 * n,
        "files": [f"new/out/{line['file']}" for line in manifest(tmp_path / "new" / "out")[1:]],
        "prompts": prompts,
        **DRAWN,
    }
    model = CVAE.from_pretrained(name)
    expected = [
        (picture.tobytes(), {"prompt": prompt, "sample": sample, **DRAWN})
        for prompt in prompts
        for sample, picture in enumerate(model.generate(prompt, n=n, seed=3, temperature=0.8))
    ]
    if format == "png":  # which has text only
        expected = [(pixels, {key: str(value) for key, value in said.items()}) for pixels, said in expected]
    assert read_back(tmp_path / "new" / "out", format) == expected


def test_shards_have_a_thousand_pictures_and_the_same_bytes_each_time(bulk: Command, tmp_path: Path) -> None:
    for folder in ("one", "other"):
        done = bulk("dress", "-n", "1030", "--format", "webdataset", "-o", folder, "--json")
        assert done.returncode == 0, done.stderr
        facts = DRAWN | {"seed": 0, "temperature": 1.0}
        assert json.loads(done.stdout) == {"folder": folder, "pictures": 1030, **facts}  # the manifest names the files
    one = written(tmp_path / "one")
    assert sorted(one) == ["000000.tar", "000001.tar", "manifest.jsonl"]
    assert one == written(tmp_path / "other")
    with tarfile.open(tmp_path / "one" / "000001.tar") as tar:
        members = tar.getmembers()
    assert [member.name for member in members[:3]] == ["000001001.png", "000001001.txt", "000001001.json"]
    assert len(members) == 90
    assert {(member.mtime, member.uid, member.gname) for member in members} == {(0, 0, "")}
    settings, *shards = manifest(tmp_path / "one")
    assert settings["format"] == "webdataset"
    assert [(shard["file"], shard["pictures"]) for shard in shards] == [("000000.tar", 1000), ("000001.tar", 30)]


@pytest.mark.parametrize(("format", "n", "lines", "files"), [("png", 1, 20, 500), ("webdataset", 3, 2, 2)])
def test_killed_drawing_goes_on_behind_what_is_finished(
    start: Start, bulk: Command, tmp_path: Path, format: str, n: int, lines: int, files: int
) -> None:
    (tmp_path / "prompts.txt").write_text("".join(f"dress {number}\n" for number in range(500)))
    arguments = ["--from", "prompts.txt", "-n", str(n), "--format", format]
    finished: list[dict[str, Any]] = []
    for _ in range(5):  # on a busy machine all may be drawn before it is killed
        shutil.rmtree(tmp_path / "out", ignore_errors=True)
        process = start(*arguments, "-o", "out")
        wait_for_lines(tmp_path / "out", lines, process)
        process.send_signal(KILL)
        process.wait()
        finished = manifest(tmp_path / "out")[1:]
        if len(finished) < files:
            break
    assert 0 < len(finished) < files
    times = {line["file"]: (tmp_path / "out" / line["file"]).stat().st_mtime_ns for line in finished}
    with (tmp_path / "out" / "manifest.jsonl").open("a") as file:
        file.write('{"file": "torn')
    (tmp_path / "out" / ".0999-dress.png.1.tmp").touch()
    (tmp_path / "out" / ".mine.tmp").touch()

    done = bulk(*arguments, "-o", "out")
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert {name: (tmp_path / "out" / name).stat().st_mtime_ns for name in times} == times
    assert bulk(*arguments, "-o", "whole").returncode == 0
    assert written(tmp_path / "out") == written(tmp_path / "whole")
    assert [path.name for path in (tmp_path / "out").glob(".*.tmp")] == [".mine.tmp"]


@pytest.mark.parametrize(
    ("format", "total", "number"), [("webp", 400, signal.SIGINT), ("webdataset", 1600, signal.SIGHUP)]
)
def test_an_interrupt_is_one_line_and_loses_nothing(
    start: Start, bulk: Command, tmp_path: Path, format: str, total: int, number: signal.Signals
) -> None:
    arguments = ["dress", "bag", "-n", str(total // 2), "--format", format, "-o", "out"]
    process = start(*arguments)
    wait_for_lines(tmp_path / "out", 2, process)
    process.send_signal(number)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (130, "")
    (line,) = [line for line in stderr.splitlines() if not line.startswith("drawing")]
    finished = sum(line.get("pictures", 1) for line in manifest(tmp_path / "out")[1:])
    assert 0 < finished < total
    assert line == f"cvae: stopped after {finished:,} of {total:,} pictures; run the same command again to continue"
    assert not list((tmp_path / "out").glob(".*.tmp"))
    if format == "webp":
        assert len(list((tmp_path / "out").glob("*.webp"))) == finished

    done = bulk(*arguments, "--quiet")
    assert (done.returncode, done.stderr) == (0, "")
    assert len(read_back(tmp_path / "out", format)) == total


DRAW = """
import json, resource, sys
from cvae_cli.app import app
for arguments in json.loads(sys.argv[1]):
    app(["generate", *arguments, "-q"], standalone_mode=False)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


def test_memory_does_not_grow_with_the_number_of_pictures(
    interpreter: str, clean_environment: dict[str, str], quick_model: Path, tmp_path: Path
) -> None:
    (tmp_path / "prompts.txt").write_text("".join(f"dress number {number}\n" for number in range(600)))
    few, many = ["dress", "-n", "150"], ["--from", "prompts.txt"]  # 150 are more than wait for each other at a time
    large = ["--model", str(quick_model), "--scale", "8"]  # 600 of 224x224 pixels take 30 MB
    calls = [
        [*asked, *large, "--format", format, "-o", f"out-{number}"]
        for number, (asked, format) in enumerate(((few, "png"), (many, "png"), (many, "webdataset")))
    ]
    command = [interpreter, "-c", DRAW, json.dumps(calls)]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    peak_of_few, *peaks = (int(peak) * (1 if sys.platform == "darwin" else 1024) for peak in done.stdout.split())
    assert max(peaks) - peak_of_few < 10e6, peaks


def test_what_is_finished_is_not_drawn_again_and_more_prompts_follow(bulk: Command, tmp_path: Path) -> None:
    arguments = ["-n", "2", "--from", "prompts.txt", "--separate", "-o", "out", "--json"]
    (tmp_path / "prompts.txt").write_text("dress\nbag\n")
    first = bulk(*arguments)
    before = written(tmp_path / "out")
    again = bulk(*arguments)
    assert (again.returncode, again.stdout) == (0, first.stdout)
    assert again.stderr == "all 4 pictures are in out already\n"
    assert written(tmp_path / "out") == before
    (tmp_path / "prompts.txt").write_text("dress\nbag\ncoat\n")
    (tmp_path / "out" / "6-coat.png").write_text("in the way of the picture of this name")
    (tmp_path / "out" / "notes.txt").write_text("keep")
    more = bulk(*arguments)
    assert (more.returncode, more.stderr) == (0, "")
    after = written(tmp_path / "out")
    assert after.keys() - before.keys() == {"5-coat.png", "6-coat.png", "notes.txt"}
    assert len(read_back(tmp_path / "out", "png")) == 6


def test_shards_are_never_replaced_when_more_prompts_follow(bulk: Command, tmp_path: Path) -> None:
    arguments = ["-n", "2", "--format", "webdataset", "-o", "out"]
    bulk("dress", *arguments)
    bulk("dress", "bag", *arguments)
    assert [said["prompt"] for _, said in read_back(tmp_path / "out", "webdataset")] == ["dress"] * 2 + ["bag"] * 2
    assert [line["pictures"] for line in manifest(tmp_path / "out")[1:]] == [2, 2]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["dress", "-n", "2", "--seed", "1"], "of seed 0, not 1"),
        (["dress", "-n", "3"], "of n 2, not 3"),
        (["dress", "-n", "2", "--temperature", "0.5"], "of temperature 1.0, not 0.5"),
        (["dress", "-n", "2", "--guidance", "1"], "of guidance null, not 1.0"),
        (["dress", "-n", "2", "--format", "webp"], 'of format "png", not "webp"'),
        (["dress", "-n", "2", "--model", "scenes"], 'of model "fashion", not "scenes"'),
        (["bag", "-n", "2"], 'picture 2 in out is of "dress", and the prompts now ask for "bag" there'),
    ],
    ids=["seed", "n", "temperature", "guidance", "format", "model", "prompts"],
)
def test_a_folder_holds_pictures_of_one_kind(bulk: Command, tmp_path: Path, arguments: list[str], words: str) -> None:
    bulk("dress", "-n", "2", "--format", "png", "-o", "out")
    before = written(tmp_path / "out")
    done = bulk("--format", "png", *arguments, "-o", "out")
    assert (done.returncode, done.stdout) == (2, "")
    *_, said, hint = done.stderr.splitlines()
    assert words in said
    assert "remove out/manifest.jsonl" in hint
    assert written(tmp_path / "out") == before


@pytest.mark.parametrize(
    "content", [b"", b"{}\n", b"[1]\n", b"not JSON\n", b'{"file_name": "1.jpg", "text": "a cat"}\n']
)
def test_a_manifest_of_something_else_is_left_alone(bulk: Command, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(content)
    done = bulk("dress", "--format", "png", "-o", ".")
    assert done.returncode == 4
    assert "manifest.jsonl is damaged, or not a manifest of cvae generate" in done.stderr
    assert written(tmp_path).keys() == {"manifest.jsonl"}
    assert (tmp_path / "manifest.jsonl").read_bytes() == content


@pytest.mark.parametrize(
    ("name", "line", "code", "words"),
    [
        ("prompts.txt", b"trombone", 2, 'no class of this model in "trombone"'),
        ("prompts.txt", b"a\xff", 4, "not UTF-8 text"),
        ("prompts.jsonl", b"dress", 4, "not JSON"),
        ("prompts.jsonl", b'{"prompt": "dress"', 4, "not JSON"),
        ("prompts.jsonl", b"[" * 100_000, 4, "not JSON"),
        ("prompts.jsonl", b'"dress"', 4, 'no "prompt"'),
        ("prompts.jsonl", b'{"Prompt": "dress"}', 4, 'no "prompt"'),
        ("prompts.jsonl", b'{"prompt": ["dress"]}', 4, 'no "prompt"'),
        ("prompts.jsonl", b'{"prompt": " "}', 2, "the prompt is empty"),
        ("prompts.jsonl", b'{"prompt": "trombone"}', 2, 'no class of this model in "trombone"'),
    ],
)
def test_a_mistake_in_a_line_is_found_before_anything_is_drawn(
    bulk: Command, tmp_path: Path, name: str, line: bytes, code: int, words: str
) -> None:
    good = b'{"prompt": "dress"}' if name.endswith("jsonl") else b"dress"
    (tmp_path / name).write_bytes(b"\n".join([*[good] * 16, line, good]))
    done = bulk("--from", name, "--format", "png", "-o", "out")
    assert (done.returncode, done.stdout) == (code, "")
    assert done.stderr.splitlines()[0].startswith(f"cvae: {name}, line 17: {words}")
    assert not (tmp_path / "out").exists()


def test_a_mistake_far_down_leaves_what_is_finished(bulk: Command, tmp_path: Path) -> None:
    lines = [f"dress {number}" for number in range(1100)]
    (tmp_path / "prompts.txt").write_text("\n".join([*lines[:1090], "trombone", *lines[1091:]]))
    arguments = ["--from", "prompts.txt", "--format", "png", "-o", "out"]
    done = bulk(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert 'cvae: prompts.txt, line 1091: no class of this model in "trombone"' in done.stderr
    assert done.stderr.endswith("1,024 pictures are finished; run the same command again to continue\n")
    assert len(manifest(tmp_path / "out")) == 1025
    (tmp_path / "prompts.txt").write_text("\n".join(lines))
    assert bulk(*arguments).returncode == 0
    assert len(read_back(tmp_path / "out", "png")) == 1100


def test_two_processes_do_not_draw_into_one_folder(start: Start, bulk: Command, tmp_path: Path) -> None:
    arguments = ["dress", "-n", "500", "--format", "png", "-o", "out"]
    first = start(*arguments)
    wait_for_lines(tmp_path / "out", 2, first)
    first.send_signal(signal.SIGTSTP)
    second = bulk(*arguments)
    first.send_signal(signal.SIGCONT)
    assert (second.returncode, second.stdout) == (2, "")
    assert second.stderr.startswith("cvae: another process is drawing into out\n")
    _, stderr = first.communicate()
    assert first.returncode == 0, stderr
    assert len(read_back(tmp_path / "out", "png")) == 500


@pytest.mark.parametrize(
    ("format", "limit", "file"), [("png", 3000, "manifest.jsonl"), ("webdataset", 90_000, "000000.tar")]
)
def test_a_full_disk_is_one_line_and_can_be_gone_on_from(
    start: Start, bulk: Command, tmp_path: Path, format: str, limit: int, file: str
) -> None:
    arguments = ["dress", "-n", "150", "--format", format, "-o", "out"]
    process = start(*arguments, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (1, "")
    assert stderr.splitlines()[-1] == f"cvae: file too large: out/{file}"  # on a slow machine progress precedes it
    assert not list((tmp_path / "out").glob(".*.tmp"))
    done = bulk(*arguments)
    assert done.returncode == 0, done.stderr
    assert len(read_back(tmp_path / "out", format)) == 150


def test_warnings_about_many_prompts_end(bulk: Command, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("".join(f"shirt {number} and jeans\n" * 2 for number in range(30)))
    done = bulk("--from", "prompts.txt", "--format", "png", "-o", "out")
    lines = done.stderr.splitlines()
    assert len(set(lines)) == len(lines) == 21
    assert lines[-1] == "cvae: warning: more warnings about prompts are left out"


@pytest.mark.parametrize("output", [[], ["-o", "-"]])
def test_a_format_needs_a_folder(bulk: Command, output: list[str]) -> None:
    done = bulk("dress", "--format", "webp", *output)
    assert (done.returncode, done.stderr) == (2, "cvae: --format needs a folder:  -o DIR\n")
