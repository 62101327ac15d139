"""The errors of the installed command for unusable pictures, captions and encoders."""

import json
import os
import resource
import shlex
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import forkserver
import pytest
from conftest import Command
from helpers import RESIDUAL, captioned
from pictures_data import classes, coco, large, texts
from PIL import Image
from test_bad_input import short, snapshot
from tiny_clip import save_tiny_clip

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import condition_config, with_conditions
from cvae_cli.training.build import build_model

Refused = Callable[..., str]

SMALL = [
    *("--size", "16", "--epochs", "1", "--set", "architecture.network.width=8"),
    *("--set", "architecture.latent_dim=4", "--prior", "none", "--set", "data.epoch_size=1", "--precision", "fp32"),
]
"""Changes to the recipe for folders that make training fast."""
DENSE = ["--set", 'architecture.network={kind="dense", width=8}', "--set", "architecture.conditioning=concat"]
"""A network that trains fast on large pictures."""
PREPARED = {"index.json", "pixels.bin"}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A separate cache for each test."""
    return tmp_path / "cache"


@pytest.fixture
def own(cvae: Command, home: Path) -> Command:
    """The installed command with that cache."""
    return lambda *arguments, **options: cvae(*arguments, env={"CVAE_HOME": str(home)}, **options)


def without_progress(stderr: str) -> list[str]:
    """Return the lines without progress, which a slow machine shows, and without the first note, on --epochs."""
    lines = [line for line in stderr.splitlines() if "%" not in line and not line.startswith("training · ")]
    assert lines[0].startswith("with --epochs")
    return lines[1:]


def kept(home: Path) -> set[str]:
    """Return the names of the files in the cache, without locks."""
    return {path.name for path in home.rglob("*") if path.is_file() and path.suffix != ".lock"}


@pytest.fixture
def refused(own: Command, tmp_path: Path, home: Path) -> Refused:
    """Run a command that must fail with this exit code and one line with these words, without changing any file.

    With `prepared`, completely prepared pictures may stay in the cache. Returns stderr.
    """

    def run(arguments: str | list[str], code: int, *words: str, prepared: bool = False) -> str:
        def files() -> dict[str, bytes | str]:
            return {name: content for name, content in snapshot(tmp_path).items() if not name.startswith("cache")}

        before = files()
        done = own(*(shlex.split(arguments) if isinstance(arguments, str) else arguments))
        assert done.returncode == code, done.stderr
        lines = done.stderr.splitlines()
        said = [number for number, line in enumerate(lines) if line.startswith("cvae: ")]
        assert len(said) == 1, done.stderr
        first, *hints = lines[said[0] :]  # notes may precede it, and progress on a slow machine
        assert all(line.startswith("      ") for line in hints), done.stderr
        for word in words:
            assert word in first
        assert len(first) < 500
        assert done.stdout == ""
        assert files() == before
        assert kept(home) == (PREPARED if prepared else set())
        return str(done.stderr)

    return run


# ---- COCO --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco(tmp_path_factory.mktemp("small") / "coco", train=20, val=1)


@pytest.fixture
def copy(small_coco: Path, tmp_path: Path) -> Path:
    """A copy of COCO's layout, which the test may damage: `coco` in the working folder of commands."""
    return Path(shutil.copytree(small_coco, tmp_path / "coco"))


def annotations(home: Path) -> Path:
    return home / "annotations" / "captions_train2017.json"


def edited(path: Path, change: Callable[[dict], object]) -> None:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda home: shutil.rmtree(home), 3, ["coco has no annotations/captions_train2017.json"]),
        (lambda home: annotations(home).unlink(), 3, ["annotations/captions_train2017.json"]),
        (lambda home: os.truncate(annotations(home), 2_000), 4, ["captions_train2017.json", "not JSON"]),
        (
            lambda home: annotations(home).write_bytes(annotations(home).read_bytes().replace(b"dog", b"caf\xe9")),
            4,
            ["captions_train2017.json", "not JSON", "byte 0xe9"],
        ),
        (
            lambda home: (home / "train2017" / "000000000003.jpg").unlink(),
            3,
            ["names 20 pictures", "1 of them", "the first 000000000003.jpg"],
        ),
        (
            lambda home: (home / "train2017" / "000000000003.jpg").write_bytes(b"\xff\xd8\xff\xe0 and no more"),
            4,
            ["more than 1% of the 20 pictures cannot be read: train2017/000000000003.jpg"],
        ),
    ],
    ids=["no copy", "no captions", "truncated", "Latin-1", "absent picture", "broken picture"],
)
def test_copies_of_coco_that_cannot_be_used(
    refused: Refused, copy: Path, damage: Callable[[Path], object], code: int, words: list[str]
) -> None:
    damage(copy)
    refused(["train", "pictures", "--data", "coco", "--data-dir", "coco", *SMALL], code, *words)


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("coco-64", 3, ['the weights "clip" are not on this machine', "605 MB"]),
        ("coco-64 --condition statik", 2, ['no text encoder "statik". Did you mean "static"?']),
        ("coco-64 --condition labels", 2, ["coco has captions, no classes"]),
        ("coco-64 --condition static --size 100", 2, ['the network "article"', "not 100x100"]),
        ("scenes --size 99", 2, ['the network "residual"', "99x99"]),
        ("coco-64 --condition static --size 7", 2, ["pictures of 7x7 pixels", "from 8 to 1024"]),
    ],
    ids=short,
)
def test_settings_that_fail_before_any_picture_is_prepared(
    refused: Refused, copy: Path, arguments: str, code: int, words: list[str]
) -> None:
    said = refused(f"train {arguments} --data-dir coco", code, *words)
    assert ("cvae download-weights clip" in said) == (arguments == "coco-64")


def test_a_copy_of_coco_with_small_faults_is_learned_from(own: Command, tmp_path: Path) -> None:
    copy = coco(tmp_path / "coco", train=220, val=1)
    (copy / "train2017" / "000000000007.jpg").unlink()
    os.truncate(copy / "train2017" / "000000000008.jpg", 300)

    def change(content: dict) -> None:
        stranger = {"image_id": 99_999, "caption": "a stranger"}
        content["annotations"] = [each for each in content["annotations"] if each["image_id"] != 9] + [stranger]

    edited(annotations(copy), change)
    done = own("train", "pictures", "--data", "coco", "--data-dir", "coco", *SMALL, "--batch-size", "99")
    assert done.returncode == 0, done.stderr
    lines = without_progress(done.stderr)
    named = "picture that captions_train2017.json names is not there and is left out: 000000000007.jpg"
    assert lines[:4] == [
        f"coco: 1 {named}",
        "coco: 1 picture without a caption is left out: 000000000009.jpg",
        'coco: 1 caption of an unknown picture is left out: "a stranger"',
        "1 of 218 pictures cannot be read and are left out: train2017/000000000008.jpg",
    ]
    assert "pictures: learns from 196 pictures of coco, validates on 21" in lines[4]


# ---- folders -----------------------------------------------------------------------------------------------------


def metadata(folder: Path, *lines: bytes) -> None:
    texts(folder, 3)
    for path in folder.glob("*.txt"):
        path.unlink()
    (folder / "metadata.jsonl").write_bytes(b"\n".join(lines))


@pytest.mark.parametrize(
    ("make", "code", "words"),
    [
        (lambda folder: None, 3, ["no folder", "/some"]),
        (lambda folder: folder.mkdir(), 2, ["/some has no pictures"]),
        (
            lambda folder: [path.unlink() for path in texts(folder, 3).glob("*.txt")],
            2,
            ["neither captions nor classes"],
        ),
        (
            lambda folder: [path.write_text(" \n") for path in texts(folder, 3).glob("*.txt")],
            2,
            ["not one of 3 pictures has a caption"],
        ),
        (lambda folder: [path.unlink() for path in texts(folder, 3).glob("*.jpg")], 2, ["/some has no pictures"]),
        (lambda folder: (texts(folder, 3) / "001.txt").write_bytes(b"caf\xe9"), 4, ["001.txt is not UTF-8", "byte 3"]),
        (
            lambda folder: metadata(folder, b'{"file_name": "000.jpg", "text": "a"}', b'{"file_name": '),
            4,
            ["metadata.jsonl, line 2: not JSON"],
        ),
        (
            lambda folder: metadata(folder, b'{"file_name": "9.jpg", "text": "a"}'),
            3,
            ["metadata.jsonl names 1 pictures", "the first 9.jpg"],
        ),
        (lambda folder: classes(folder, 2, ("dog", "dog\u200b")), 2, ["'dog'", r"'dog\u200b'", "apart"]),
    ],
    ids=[
        *("absent", "empty", "no captions", "blank captions", "no pictures", "Latin-1", "half a line"),
        *("absent pictures", "names that look the same"),
    ],
)
def test_folders_that_cannot_be_used(
    refused: Refused, tmp_path: Path, make: Callable[[Path], object], code: int, words: list[str]
) -> None:
    make(tmp_path / "some")
    refused("train folder:some", code, *words)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("pictures --data folder:", ['"folder:" names no folder']),
        ("pictures --data folder:some --data-dir some", ["a folder's path is in its name"]),
        ("pictures --data some", ['no data set "some". Did you mean "folder:some"?']),
        ("folder:some --condition labels", ["some has captions, no classes"]),
    ],
    ids=short,
)
def test_folders_that_are_not_named_as_they_must_be(
    refused: Refused, tmp_path: Path, arguments: str, words: list[str]
) -> None:
    texts(tmp_path / "some", 3)
    refused(f"train {arguments}", 2, *words)


def test_captions_that_say_nothing_to_the_encoder_are_refused_again_and_again(refused: Refused, tmp_path: Path) -> None:
    texts(tmp_path / "some" / "val", 1)  # so that all of the other folder is trained on
    folder = texts(tmp_path / "some" / "train", 51)
    for number, path in enumerate(sorted(folder.glob("*.txt"))):  # 5,100 captions; 52 unknown ones are too many
        chinese = 51 if number == 0 else int(number == 50)  # all but one within the first 4,096
        path.write_text("\n".join(["海边的两只狗"] * chinese + [f"a dog of {n} years" for n in range(100 - chinese)]))
    for _ in range(2):
        said = refused(
            ["train", "folder:some", *SMALL],
            2,
            'many captions have no word that the text encoder "static" knows',
            prepared=True,
        )
        assert "--condition clip" in said


def test_captions_missing_and_astray_are_said_and_the_rest_is_learned(own: Command, tmp_path: Path) -> None:
    folder = texts(tmp_path / "some", 12)
    (folder / "003.txt").unlink()
    (folder / "005.jpg").unlink()
    done = own("train", "folder:some", *SMALL)
    assert done.returncode == 0, done.stderr
    assert without_progress(done.stderr)[:3] == [
        f"folder:{folder}: 10 pictures with captions from .txt files beside them · 1 of them for tests",
        f"folder:{folder}: 1 text without a picture is left out: 005.txt",
        f"folder:{folder}: 1 picture without a caption is left out: 003.jpg",
    ]
    assert done.stdout == "runs/some/model\n"


def test_one_class_however_deep_is_learned_and_said_to_decide_nothing(own: Command, tmp_path: Path) -> None:
    folder = tmp_path / "some"
    classes(folder, 16, ("cat",))
    classes(folder / "cat", 8, ("black",))
    shutil.copy(folder / "cat" / "000.jpg", folder / "stray.jpg")
    done = own("train", "folder:some", *SMALL)
    assert done.returncode == 0, done.stderr
    lines = without_progress(done.stderr)
    assert lines[0] == f"folder:{folder}: 24 pictures in 1 class (cat: 24) · 2 of them for tests"
    assert lines[1] == f"folder:{folder}: 1 picture beside the folders of classes is left out: stray.jpg"
    assert "cat is the only class, so a prompt decides nothing" in lines[2]
    config = json.loads((tmp_path / "runs" / "some" / "model" / "config.json").read_text())
    assert config["condition"]["classes"] == [{"name": "cat", "words": ["cat"]}]


def test_a_folder_whose_name_is_not_text(own: Command, tmp_path: Path) -> None:
    name = os.fsdecode(b"pictures of a caf\xe9")
    try:
        texts(tmp_path / name, 6)
    except OSError:
        pytest.skip("this file system has names in UTF-8 only")
    done = own("train", f"folder:{name}", *SMALL, "--out", "run")
    assert done.returncode in {0, 2}, done.stderr  # trained, or refused with an error message
    assert "defect" not in done.stderr
    assert (tmp_path / "run" / "recipe.toml").exists() == (done.returncode == 0)


# ---- prompts and encoders ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained models of captions, `static` and `clip`, and `tiny`, the CLIP model of `clip`."""
    folder = tmp_path_factory.mktemp("models")
    save_tiny_clip(folder / "tiny")
    changes = {**RESIDUAL, "architecture.conditioning": "concat"}
    for name, encoder in (("static", "static"), ("clip", f"clip:{folder / 'tiny'}")):
        recipe = load_recipe("fashion-concat", {**changes, "name": name})
        data = with_conditions(captioned(2), load_encoder(encoder))
        model = build_model(recipe, data.name, data.image_shape, condition_config(data))
        model.save_pretrained(folder / name)
    return folder


@pytest.mark.parametrize(
    ("model", "prompt", "words"),
    [
        ("static", "", ["the prompt is empty"]),
        ("static", "海边的两只狗", ['no word of "海边的两只狗"', "it reads English"]),
        ("static", "\x1b海\r\n", ["knows no word of", r"\x1b海\r\n"]),
        ("clip", " \t ", ["the prompt is empty"]),
    ],
    ids=["empty", "Chinese", "control characters", "blank"],
)
def test_prompts_that_say_nothing(
    refused: Refused, models: Path, tmp_path: Path, model: str, prompt: str, words: list[str]
) -> None:
    (tmp_path / "tiny").symlink_to(models / "tiny")  # where a model looks for its CLIP model
    said = refused(["generate", "a dog", prompt, "--model", str(models / model)], 2, *words)
    assert "\x1b" not in said


def test_a_file_with_a_prompt_of_nul_alone(refused: Refused, models: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"a dog\n\0\n")
    refused(f"generate --from prompts.txt --model {models / 'static'}", 2, "the prompt is empty")


@pytest.mark.parametrize("model", ["static", "clip"])
def test_odd_prompts_that_say_something_are_drawn(own: Command, models: Path, tmp_path: Path, model: str) -> None:
    (tmp_path / "tiny").symlink_to(models / "tiny")
    endless = ("two dogs on a beach. " * 5_000)[:100_000]
    lines = [endless, "👗 and 👠", "a\0dog", "a dog 海边", "a " + "x" * 300]
    (tmp_path / "prompts.txt").write_text("\n".join(lines))
    arguments = ["--from", "prompts.txt", "--model", models / model, "-o", "out.png"]
    done = own("generate", *arguments, "a dog \ufffd", "--json")
    assert done.returncode == 0, done.stderr
    assert [len(each) for each in json.loads(done.stdout)["prompts"]] == [7, 100_000, *map(len, lines[1:])]
    assert all(line.startswith("cvae: warning: ") for line in done.stderr.splitlines())
    assert ("海边" in done.stderr) == (model == "static")
    with Image.open(tmp_path / "out.png") as sheet:
        assert sheet.size == (3 * 18 - 2, 2 * 18 - 2) or sheet.size == (16, 6 * 18 - 2)


def test_a_clip_model_that_has_gone_or_is_another(refused: Refused, models: Path, tmp_path: Path) -> None:
    model = shutil.copytree(models / "clip", tmp_path / "model")
    place = tmp_path / "elsewhere"
    edited(model / "config.json", lambda config: config["condition"].update(model=str(place)))
    refused("generate dog --model model", 3, 'the CLIP model in a folder "elsewhere", which is not here')
    save_tiny_clip(place, seed=1)
    said = refused("generate dog --model model", 4, "the model learned with another clip text encoder")
    assert f"put the encoder it learned with at {place}" in said


def test_another_version_of_the_encoder_that_comes_along(refused: Refused, models: Path, tmp_path: Path) -> None:
    model = shutil.copytree(models / "static", tmp_path / "model")
    edited(model / "config.json", lambda config: config["condition"].update(sha256="0" * 64))
    said = refused("generate dog --model model", 4, "the model learned with another static text encoder")
    assert "version of cvae-cli" in said


# ---- the cache ---------------------------------------------------------------------------------------------------


def start(
    executable: str, environment: dict[str, str], home: Path, *arguments: str, **options: object
) -> subprocess.Popen[str]:
    return subprocess.Popen(  # type: ignore[call-overload, no-any-return]
        [executable, *arguments],
        cwd=home.parent,
        env={**environment, "CVAE_HOME": str(home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not condition():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)


@pytest.mark.parametrize(("size", "file"), [(64, "pixels.bin"), (8, "captions-")], ids=["pictures", "captions"])
def test_a_full_disk_leaves_nothing_to_trip_over(
    executable: str, clean_environment: dict[str, str], own: Command, home: Path, tmp_path: Path, size: int, file: str
) -> None:
    def no_file_beyond_100_kilobytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    folder = texts(tmp_path / "some", 20)
    for path in folder.glob("*.txt"):
        path.write_text("\n".join(f"{n} dogs on beach {path.stem}" for n in range(20)))
    train = ["train", "folder:some", *SMALL, "--size", str(size), "--set", "architecture.network.levels=2"]
    process = start(executable, clean_environment, home, *train, preexec_fn=no_file_beyond_100_kilobytes)
    stdout, stderr = process.communicate()
    assert (process.returncode, stdout) == (1, "")
    line = stderr.splitlines()[-1]
    assert line.startswith("cvae: file too large: ")
    assert file in line
    assert kept(home) == (PREPARED if file == "captions-" else set())
    assert not (tmp_path / "runs").exists()
    done = own(*train)
    assert done.returncode == 0, done.stderr
    assert not list(home.rglob("*.part"))


@pytest.mark.skipif(os.geteuid() == 0, reason="a superuser may write anywhere")
def test_a_cache_that_may_not_be_written(own: Command, home: Path, tmp_path: Path) -> None:
    texts(tmp_path / "some", 5)
    home.mkdir(mode=0o500)
    done = own("train", "folder:some", *SMALL)
    assert (done.returncode, done.stdout) == (2, "")
    assert "permission denied" in done.stderr
    assert "CVAE_HOME" in done.stderr


def test_a_cache_that_is_a_file(refused: Refused, own: Command, home: Path, tmp_path: Path) -> None:
    texts(tmp_path / "some", 5)
    home.write_text("keep")
    said = refused(["train", "folder:some", *SMALL], 2, "cannot write", "a part of the path is a file")
    assert "CVAE_HOME" in said
    assert home.read_text() == "keep"


def test_two_trainings_prepare_the_same_pictures_once(
    executable: str, clean_environment: dict[str, str], home: Path, tmp_path: Path
) -> None:
    large(tmp_path / "some", 340, side=150)
    train = ["train", "folder:some", *SMALL, *DENSE, "--size", "128", "--batch-size", "64", "--condition", "static"]
    with start(executable, clean_environment, home, *train, "--out", "one") as one:
        wait_until(lambda: any(home.glob("prepared/*.part")), one)
        one.send_signal(signal.SIGTSTP)  # until the other process has found the lock
        with start(executable, clean_environment, home, *train, "--out", "other") as other:
            assert other.stderr is not None
            waits = next(line for line in other.stderr if "another process is preparing" in line)
            one.send_signal(signal.SIGCONT)
            said = [process.communicate()[1] for process in (one, other)]
    assert (one.returncode, other.returncode) == (0, 0), said
    assert "another process is preparing" not in said[0] + said[1], waits
    assert {path.suffix for path in home.rglob("*") if path.is_file()} == {".bin", ".digest", ".json", ".f16", ".lock"}
    weights = [(tmp_path / run / "model" / "model.safetensors").read_bytes() for run in ("one", "other")]
    assert weights[0] == weights[1]


def test_an_interrupt_while_pictures_are_prepared(
    programs: Path, clean_environment: dict[str, str], own: Command, home: Path, tmp_path: Path
) -> None:
    large(tmp_path / "some", 560, side=200)  # enough pictures that the signal comes first
    train = ["train", "folder:some", *SMALL, *DENSE, "--size", "128", "--batch-size", "64"]
    environment = {os.fsencode(k): os.fsencode(v) for k, v in (clean_environment | {"CVAE_HOME": str(home)}).items()}
    with (tmp_path / "stdout").open("w") as stdout, (tmp_path / "stderr").open("w") as stderr:
        streams = {1: stdout.fileno(), 2: stderr.fileno()}
        order = (str(programs / "socket"), "cvae", train, environment, str(tmp_path), streams)
        with forkserver.connect(*order) as server:
            process = forkserver.receive(server)
            end = time.monotonic() + 300
            while not any(b"\n" in path.read_bytes() for path in home.glob("prepared/*.part/journal.jsonl")):
                assert time.monotonic() < end
                time.sleep(0.005)
            os.killpg(process, signal.SIGINT)  # as a terminal does: also to the decoding processes
            assert forkserver.receive(server) == 130
    assert (tmp_path / "stdout").read_text() == ""
    assert "Traceback" not in (tmp_path / "stderr").read_text()
    assert not (tmp_path / "runs").exists()
    (pixels,) = home.glob("prepared/*.part/pixels.bin")
    done = len(pixels.read_bytes()) // (3 * 128 * 128)
    assert 0 < done < 500
    with pixels.open("r+b") as file:
        file.write(b"mark")  # it stays if the first pictures are not prepared again
    again = own(*train)
    assert again.returncode == 0, again.stderr
    assert not list(home.rglob("*.part"))
    (pixels,) = home.glob("prepared/*/pixels.bin")
    assert pixels.read_bytes()[:4] == b"mark"
    assert pixels.stat().st_size == 504 * 3 * 128 * 128


# ---- files that never end ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["bus/pipe.png", "metadata.jsonl", "metadata.csv", "metadata.parquet"])
def test_a_pipe_in_a_folder_is_said_and_not_waited_for(refused: Refused, tmp_path: Path, place: str) -> None:
    for number in range(4):
        path = tmp_path / "some" / ("bus", "cat")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (16, 16), (number, 0, 0)).save(path)
    os.mkfifo(tmp_path / "some" / place)
    said = refused(["train", "folder:some", *SMALL], 4 if place.endswith(".png") else 2, place)
    assert "it is a pipe or a device" in said


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")], ids=["pipe", "device"])
def test_a_pipe_or_a_device_is_no_picture(refused: Refused, tmp_path: Path, make: Callable[[Path], object]) -> None:
    make(tmp_path / "a.png")
    refused("reconstruct a.png --prompt dress --model fashion", 2, "a.png: it is a pipe or a device")
