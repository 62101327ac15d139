"""The errors of the installed command for unusable options, prompts, files and runs."""

import gzip
import json
import os
import pickle
import shlex
import shutil
import signal
import stat
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION, Command
from helpers import small_model
from PIL import Image
from safetensors.torch import load_file, save_file

from cvae_cli import CVAE
from cvae_cli.errors import UsageError

Refused = Callable[..., str]

QUICK = ["--data-dir", str(FASHION), "--limit", "200", "--epochs", "1"]
NO_GPU = pytest.param("cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU"))
NESTED = '{"x": ' * 50_000
BOMB_SIDE = 20_000


def short(value: object) -> str:
    """Return the name of a parameter in a test id: the text of a command, or an empty string for other parameters."""
    return value[:60] if isinstance(value, str) else ""


def snapshot(folder: Path) -> dict[str, bytes | str]:
    """Return all paths below a folder with their contents."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else stat.filemode(path.lstat().st_mode)
        for path in folder.rglob("*")
    }


@pytest.fixture
def refused(cvae: Command, tmp_path: Path) -> Refused:
    """Run a command that must fail with this exit code and one line with these words, without changing any file.

    Arguments are one string as in a shell, or a list. Returns stderr.
    """

    def run(arguments: str | list[str], code: int, *words: str, env: dict[str, str] | None = None) -> str:
        before = snapshot(tmp_path)
        done = cvae(*(shlex.split(arguments) if isinstance(arguments, str) else arguments), env=env)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        said = [line for line in done.stderr.splitlines() if line.startswith("cvae: ")]
        assert len(said) == 1, done.stderr
        for word in words:
            assert word in said[0]
        assert len(said[0]) < 500
        assert done.stdout == ""
        assert snapshot(tmp_path) == before
        return done.stderr

    return run


# ---- names, options and recipes ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("train", ["which recipe"]),
        ("train fashion-concatt", ["fashion-concatt", 'Did you mean "fashion-concat"?']),
        ("train absent.toml", ["absent.toml"]),
        ("train fashion-concat --set training.epoch=3", ["training.epoch", 'Did you mean "training.epochs"?']),
        ("train fashion-concat --set colour=red", ["unknown key", "colour"]),
        ("train fashion-concat --set training.epochs=many", ["training.epochs", "many"]),
        ("train fashion-concat --set training.epochs=2.5", ["training.epochs", "2.5"]),
        ("train fashion-concat --set training.epochs", ["key=value", "training.epochs"]),
        ("train fashion-concat --set =3", ["key=value", "=3"]),
        ("train fashion-concat --set training.epochs.more=3", ["training.epochs.more"]),
        ("train fashion-concat --set training=3", ["training"]),
        (f"train fashion-concat --set training.epochs={'x' * 3_000}", ["training.epochs"]),
        (f"train fashion-concat --set training.epochs={'[' * 20_000}", ["training.epochs"]),
        ("train fashion-concat --set training.ema_decay=1", ["training.ema_decay"]),
        ("train fashion-concat --set architecture.network.kind=transformer", ["architecture.network", "transformer"]),
        ("train fashion-concat --lr 0", ["learning_rate", "0"]),
        ("train fashion-concat --lr nan", ["learning_rate", "nan"]),
        ("train fashion-concat --lr inf", ["learning_rate", "inf"]),
        ("train fashion-concat --beta inf", ["beta", "inf"]),
        ("train fashion-concat --precision fp64", ["precision", "fp64"]),
        ("train fashion-concat --resume runs/some", ["--resume"]),
        ("train --resume runs/some", ["runs/some", "not a run"]),
        ("train --resume runs/some --set training.beta=2", ["--resume"]),
        ("generate", ["what to draw"]),
        ("generate dress -n 10001", ["10,001"]),
        ("generate dress --separate", ["--separate"]),
        ("generate dress --separate -o -", ["--separate"]),
        ("reconstruct", ["pictures", "--dataset"]),
        ("reconstruct boot.png --dataset fashion-mnist", ["pictures", "--dataset"]),
        ("evaluate --metric fidd", ["fidd", 'Did you mean "fid"?']),
        ("download-weights", ["--all"]),
        ("download-weights inceptoin", ["inceptoin", "inception"]),
        ("generate dress --model fashoin", ["fashoin", 'Did you mean "fashion"?']),
        ("generate dress --model fashion --guidance 6", ["guidance from 0 to 5, not 6"]),
        (
            "train fashion --set start=closest",
            ["scenes draws 64x64 colour pictures; fashion-mnist has 28x28 grey ones"],
        ),
        ("train --prior zzz --model fashion", ['no prior "zzz" that can be fitted afterwards']),
        ("latents --model fashion --traverse 0 --prompt dress --steps 1", ["--steps", "from 2 to 1,000"]),
        ("train fashion --set start=emoji", ["emoji draws 64x64 colour pictures; fashion-mnist has 28x28 grey ones"]),
        (
            "train --prior score --model fashion --data cifar-10",
            ["fashion draws 28x28 grey pictures; cifar-10 has 32x32"],
        ),
        ("train finetune --data folder:pics --set start=none", ["the recipe finetune trains a finished model further"]),
        ("train coco-64 --set start=fashion", ["fashion draws 28x28 grey pictures; coco has 28x28 colour ones"]),
    ],
    ids=short,
)
def test_names_and_settings_that_do_not_exist(refused: Refused, arguments: str, words: list[str]) -> None:
    refused(arguments, 2, *words)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        ("generate dress -n 0", "-n"),
        ("generate dress -n many", "-n"),
        ("generate dress --columns 0", "--columns"),
        ("generate dress --seed -1", "--seed"),
        ("generate dress --seed 99999999999999999999", "--seed"),
        ("generate dress --temperature -1", "--temperature"),
        ("generate dress --temperature nan", "--temperature"),
        ("generate dress --temperature inf", "--temperature"),
        ("generate dress --colour red", "--colour"),
        ("reconstruct --dataset fashion-mnist -n 0", "-n"),
        ("evaluate --samples 0", "--samples"),
        ("evaluate --temperature inf", "--temperature"),
        ("evaluate --reconstruction median", "--reconstruction"),
        ("train fashion-concat --epochs 0", "--epochs"),
        ("train fashion-concat --batch-size 0", "--batch-size"),
        ("train fashion-concat --seed -1", "--seed"),
        ("train fashion-concat --seed 99999999999999999999", "seed"),
        ("generte dress", "generte"),
    ],
    ids=short,
)
def test_options_out_of_range(refused: Refused, run_folder: Path, arguments: str, option: str) -> None:
    ours = f" --model {run_folder}" if arguments.split()[0] in {"generate", "evaluate", "reconstruct"} else ""
    data = f" --data-dir {FASHION}" if "generate" not in arguments and "generte" not in arguments else ""
    refused(arguments + ours + data, 2, option)


@pytest.mark.parametrize("device", ["nonsense", "", "cuda:99", "cuda:200", "meta", NO_GPU])
def test_devices_that_are_not_here(refused: Refused, run_folder: Path, device: str) -> None:
    refused(["generate", "dress", "--model", str(run_folder), "--device", device], 2, f'"{device}"')


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (b"this is no TOML", 4, ["mine.toml", "not TOML"]),
        (b"\xff\xfe\x00", 4, ["mine.toml", "not TOML"]),
        (b"a = " + b"[" * 20_000, 4, ["mine.toml", "not TOML"]),
        (b"", 2, ["mine.toml", "missing"]),
        (b'name = "mine"\ndata = 3', 2, ["mine.toml", "data"]),
        (b'name = "mine"\n[data]\nname = "fashion-mnist"\n[training]\nepochs = 1', 2, ["architecture", "missing"]),
        (
            b'name = "mine"\n[data]\nname = "fashion-mnist"\n[architecture]\n[training]\nepocs = 1',
            2,
            ["training.epocs", 'Did you mean "training.epochs"?'],
        ),
        (b'name = "mine"\n[data]\nname = "imagenet"\n[architecture]\n[training]\nepochs = 1', 2, ["imagenet"]),
    ],
    ids=["text", "bytes", "nested", "empty", "section", "incomplete", "unknown key", "unknown data set"],
)
def test_recipe_files_that_cannot_be_used(
    refused: Refused, tmp_path: Path, content: bytes, code: int, words: list[str]
) -> None:
    (tmp_path / "mine.toml").write_bytes(content)
    refused("train mine.toml", code, *words)


def test_a_recipe_that_is_a_folder(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "mine.toml").mkdir()
    refused("train mine.toml", 2, "mine.toml")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("evaluate --metric mse --dataset fashion-mnits", ["fashion-mnits", 'Did you mean "fashion-mnist"?']),
        ("evaluate --metric mse --split tset", ["tset", 'Did you mean "test"?']),
        ("evaluate --metric mse --split tset --json", ["tset"]),
        ("evaluate --metric fid-fashion --samples 1", ["2 pictures"]),
        ("reconstruct --dataset imagenet", ["imagenet"]),
        ("reconstruct --dataset fashion-mnist --split valid", ["valid"]),
    ],
    ids=short,
)
def test_data_sets_and_splits_that_do_not_exist(
    refused: Refused, run_folder: Path, arguments: str, words: list[str]
) -> None:
    refused(f"{arguments} --model {run_folder} --data-dir {FASHION}", 2, *words)


def test_too_few_pictures_to_learn_from(refused: Refused) -> None:
    refused(f"train fashion-concat --data-dir {FASHION} --limit 1", 2, "too few pictures")


# ---- prompts -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prompt", "words"),
    [
        ("", ['""']),
        ("   ", ["no class"]),
        ("snekers", ["snekers", 'Did you mean "sneakers"?']),
        ("x" * 100_000, ["xxx..."]),
        ("👗👠", ["👗👠"]),
        ("一条红色的裙子", ["一条红色的裙子"]),
        ("\x1b[2J\r\nno\tsuch\nthing", [r"\x1b[2J\r\nno\tsuch\nthing"]),
    ],
    ids=["empty", "spaces", "misspelt", "100,000 letters", "emoji", "Chinese", "control characters"],
)
def test_prompts_that_name_no_class(refused: Refused, run_folder: Path, prompt: str, words: list[str]) -> None:
    said = refused(["generate", "dress", prompt, "--model", str(run_folder)], 2, "no class", *words)
    assert "ankle boot" in said  # the classes are listed
    assert "\x1b" not in said


@pytest.mark.parametrize(
    ("content", "code", "words"),
    [
        (None, 3, ["prompts.txt"]),
        (b"", 2, ["prompts.txt", "no prompt"]),
        (b"\n \n\t\n", 2, ["prompts.txt", "no prompt"]),
        (b"dress\n\xff\xfe\n", 4, ["prompts.txt", "UTF-8"]),
        ("dress\n".encode("utf-16"), 4, ["prompts.txt", "UTF-8"]),
        (b"dress\nsne\0kers\n", 2, ["no class", r"sne\x00kers"]),
    ],
    ids=["missing", "empty", "blank", "not UTF-8", "UTF-16", "NUL"],
)
def test_prompt_files_that_cannot_be_used(
    refused: Refused, run_folder: Path, tmp_path: Path, content: bytes | None, code: int, words: list[str]
) -> None:
    if content is not None:
        (tmp_path / "prompts.txt").write_bytes(content)
    refused(f"generate --from prompts.txt --model {run_folder}", code, *words)


def test_prompt_files_that_are_folders_or_an_empty_stdin(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "prompts").mkdir()
    refused("generate --from prompts", 2, "prompts", "directory")
    refused("generate --from -", 2, "no prompt")


def test_odd_prompts_that_do_name_a_class_are_drawn(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_bytes(b"a\0dress\n")
    done = cvae("generate", "sneaker!", "--from", "prompts.txt", "--model", run_folder, "-o", "two.png", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["prompts"] == ["sneaker!", "a\0dress"]
    with Image.open(tmp_path / "two.png") as picture:
        assert picture.text["prompt"].splitlines() == ["sneaker!", "a dress"]


def test_prompts_that_are_not_utf_8(refused: Refused, run_folder: Path, tmp_path: Path) -> None:
    Image.new("L", (28, 28)).save(tmp_path / "one.png")
    model = ["--model", str(run_folder)]
    said = r'the prompt "sneaker \udcff" is not UTF-8 text'
    refused(["generate", "dress", "sneaker \udcff", *model], 2, said)
    refused(["generate", "sneaker \udcff", "--separate", "-o", "pictures", *model], 2, said)
    refused(["reconstruct", "one.png", "--prompt", "sneaker \udcff", *model], 2, said)
    (tmp_path / "prompts.jsonl").write_text('{"prompt": "dress"}\n{"prompt": "sneaker \\udcff"}\n')
    refused(f"generate --from prompts.jsonl --model {run_folder}", 4, "prompts.jsonl, line 2", said)
    with pytest.raises(UsageError, match="not UTF-8 text"):
        CVAE.from_pretrained(run_folder).generate("sneaker \udcff")


@pytest.mark.parametrize(("prompt", "known"), [("xyzzyqq", False), ("two dogs and a xyzzyqq", True)])
def test_nonsense_is_refused_or_said(cvae: Command, tmp_path: Path, prompt: str, known: bool) -> None:
    (tmp_path / "prompts.txt").write_text(f"a dog\n{prompt}\n")
    small_model("captioned-map-score").save_pretrained(tmp_path / "small")
    for arguments in ([prompt], ["--from", "prompts.txt"]):
        done = cvae("generate", *arguments, "--model", "small", "-o", "out.png")
        if known:
            assert done.returncode == 0
            assert done.stderr.startswith('cvae: warning: the text encoder does not know "xyzzyqq", and guesses')
        else:
            assert done.returncode == 2
            assert 'the text encoder knows no word of "xyzzyqq"' in done.stderr
            assert ("prompts.txt, line 2: " in done.stderr) == (arguments[0] == "--from")
            assert not (tmp_path / "out.png").exists()


# ---- pictures ----------------------------------------------------------------------------------------------------


def picture_bytes(folder: Path, name: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Image.fromarray(noise).save(folder / name)
    return (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("name", "make", "code"),
    [
        ("missing.png", None, 3),
        ("empty.png", lambda path: path.touch(), 4),
        ("half.png", lambda path: path.write_bytes(picture_bytes(path.parent, path.name)[:500]), 4),
        ("half.jpg", lambda path: path.write_bytes(picture_bytes(path.parent, path.name)[:500]), 4),
        ("text.png", lambda path: path.write_text("This is a picture of a boot."), 4),
        ("zip.png", lambda path: path.write_bytes(gzip.compress(b"boot")), 4),
        ("folder.png", lambda path: path.mkdir(), 2),
    ],
    ids=short,
)
def test_pictures_that_cannot_be_opened(
    refused: Refused, run_folder: Path, tmp_path: Path, name: str, make: Callable[[Path], object] | None, code: int
) -> None:
    picture_bytes(tmp_path, "good.png")
    if make:
        make(tmp_path / name)
    refused(f"reconstruct good.png {name} --label boot --model {run_folder}", code, name)


def test_a_picture_whose_folder_names_no_class_and_a_label_that_is_none(
    refused: Refused, run_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "holiday").mkdir()
    picture_bytes(tmp_path / "holiday", "boot.png")
    said = refused(f"reconstruct holiday/boot.png --model {run_folder}", 2, "holiday/boot.png")
    assert "--prompt" in said
    refused(f"reconstruct holiday/boot.png --label snekers --model {run_folder}", 2, "snekers", "sneakers")


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


GROWTH = """
import resource
from cvae_cli.app import main

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
try:
    main()
finally:
    print(peak() - before)
"""
"""Runs a command, and says by how much its peak of memory is above what the interpreter took before."""


@pytest.mark.parametrize("bits", [1, 8])
def test_a_picture_that_would_fill_the_memory(
    refused: Refused,
    interpreter: str,
    clean_environment: dict[str, str],
    run_folder: Path,
    tmp_path: Path,
    bits: int,
) -> None:
    squeeze = zlib.compressobj(1)
    row = bytes(1 + BOMB_SIDE * bits // 8)
    rows = b"".join(squeeze.compress(row) for _ in range(BOMB_SIDE)) + squeeze.flush()
    header = struct.pack(">IIBBBBB", BOMB_SIDE, BOMB_SIDE, bits, 0, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), png_chunk(b"IDAT", rows), png_chunk(b"IEND", b"")]
    (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    arguments = ["reconstruct", "bomb.png", "--label", "boot", "--model", str(run_folder)]
    started = time.monotonic()
    refused(arguments, 2, "bomb.png", "pixels")
    assert time.monotonic() - started < 60
    command = [interpreter, "-c", GROWTH, *arguments]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 2, done.stderr
    assert int(done.stdout) * (1 if sys.platform == "darwin" else 1024) < 50e6


# ---- models ------------------------------------------------------------------------------------------------------


def edited(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def retensored(path: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda path: path.unlink(), 3, ["config.json"]),
        (lambda path: path.write_text('{"architectures": ["BertModel"]}'), 4, ["config.json", "not the configuration"]),
        (lambda path: path.write_text("name: fashion"), 4, ["config.json", "not JSON"]),
        (lambda path: path.write_bytes(b"\xff\xfe{"), 4, ["config.json", "not JSON"]),
        (lambda path: path.write_text(NESTED), 4, ["config.json", "not JSON"]),
        (lambda path: edited(path, format=2), 4, ["config.json", "format 2"]),
        (lambda path: edited(path, architecture="x" * 5_000), 4, ["config.json", "architecture"]),
        (lambda path: edited(path, colour="red"), 4, ["config.json", "unknown key", "colour"]),
        (lambda path: edited(path, image={"size": 30, "channels": 1}), 4, ["config.json", "28x28"]),
        (lambda path: edited(path, image={"size": 28, "channels": 2}), 4, ["config.json", "image.channels"]),
        (lambda path: edited(path, condition={"classes": [{"name": "a", "words": ["--"]}] * 10}), 4, ["config.json"]),
        (lambda path: edited(path, condition={"classes": []}), 4, ["config.json"]),
    ],
    ids=[
        *("absent", "foreign", "YAML", "bytes", "nested", "format", "long", "unknown key", "image", "channels"),
        *("no words", "no classes"),
    ],
)
def test_configurations_that_cannot_be_used(
    refused: Refused, model_folder: Path, damage: Callable[[Path], object], code: int, words: list[str]
) -> None:
    damage(model_folder / "config.json")
    refused(f"generate dress --model {model_folder}", code, *words)


class Bomb:
    """An object that creates a file when it is unpickled."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, ("unpickled",)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda path: path.unlink(), 3, []),
        (lambda path: path.write_bytes(path.read_bytes()[:10_000]), 4, ["damaged"]),
        (lambda path: path.write_bytes(np.random.default_rng(0).bytes(10_000)), 4, ["damaged"]),
        (lambda path: path.write_bytes(pickle.dumps(Bomb())), 4, ["damaged"]),
        (lambda path: torch.save({"weights": torch.zeros(2)}, path), 4, ["damaged"]),
        (lambda path: retensored(path, lambda t: t.update({"network.up.0.bias": torch.zeros(3)})), 4, ["(3,)"]),
        (lambda path: retensored(path, lambda t: t.pop("network.up.0.bias")), 4, ["lacks"]),
        (lambda path: retensored(path, lambda t: t.update(extra=torch.zeros(2))), 4, ["extra"]),
    ],
    ids=["absent", "truncated", "random", "pickle", "torch.save", "shape", "tensor missing", "tensor extra"],
)
def test_weights_that_cannot_be_used(
    refused: Refused, model_folder: Path, damage: Callable[[Path], object], code: int, words: list[str]
) -> None:
    damage(model_folder / "model.safetensors")
    refused(f"generate dress --model {model_folder}", code, "model.safetensors", *words)


@pytest.mark.parametrize("name", ["model.pt", "model.BIN"])
def test_pickles_are_refused_unopened(refused: Refused, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
    refused(f"generate dress --model {name}", 4, name, "pickle")  # `refused` checks that no file "unpickled" appeared


def test_models_that_are_no_models(refused: Refused, tmp_path: Path, run_folder: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused("generate dress --model empty", 3, "empty", "config.json")
    shutil.copy(run_folder / "model" / "model.safetensors", tmp_path / "lone.safetensors")
    refused("generate dress --model lone.safetensors", 2, "lone.safetensors")
    refused("generate dress --model absent/folder", 3, "absent/folder")
    refused(["generate", "dress", "--model", "x" * 300], 2, "xxx")


# ---- output ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ("generate dress -o file/dress.png", ["file/dress.png"]),
        ("generate dress -o file/a/b/dress.png", ["file/a/b/dress.png"]),
        ("generate dress -o folder", ["folder"]),
        ("generate dress --separate -o file", ["file"]),
        ("generate dress --separate -o file/folder", ["file/folder"]),
        ("generate dress -o pipe", ["pipe"]),
        (f"generate dress -o {'x' * 300}.png", ["too long"]),
        ("reconstruct good.png --label dress -o folder", ["folder"]),
        ("reconstruct good.png --label dress -o file/pairs.png", ["file/pairs.png"]),
        (f"train fashion-concat {' '.join(QUICK)} --out file", ["file"]),
        (f"train fashion-concat {' '.join(QUICK)} --out file/run", ["file/run"]),
        *(
            [
                ("generate dress -o /proc/nope/dress.png", ["/proc/nope/dress.png"]),
                ("generate dress --separate -o /proc/nope", ["/proc/nope"]),
                (f"train fashion-concat {' '.join(QUICK)} --out /proc/nope", ["/proc/nope"]),
            ]
            if sys.platform == "linux"
            else []
        ),
    ],
    ids=short,
)
def test_outputs_that_cannot_be_written(
    refused: Refused, run_folder: Path, tmp_path: Path, arguments: str, words: list[str]
) -> None:
    (tmp_path / "file").write_text("keep")
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    picture_bytes(tmp_path, "good.png")
    refused(arguments + ("" if arguments.startswith("train") else f" --model {run_folder}"), 2, *words)


# ---- data --------------------------------------------------------------------------------------------------------


@pytest.fixture
def data_dir(tmp_path: Path) -> Path:
    """A copy of the small data set, which the test may damage."""
    return Path(shutil.copytree(FASHION, tmp_path / "data"))


IMAGES, LABELS = "train-images-idx3-ubyte.gz", "train-labels-idx1-ubyte.gz"


def rewritten(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(gzip.compress(change(gzip.decompress(path.read_bytes()))))


def broken_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes([content[-8] ^ 1]) + content[-7:]


@pytest.mark.parametrize(
    ("name", "damage", "code", "words"),
    [
        (IMAGES, lambda path: path.unlink(), 3, [IMAGES]),
        (IMAGES, lambda path: path.write_bytes(path.read_bytes()[:20_000]), 4, [IMAGES]),
        (IMAGES, lambda path: path.write_bytes(gzip.decompress(path.read_bytes())), 4, [IMAGES]),
        (IMAGES, lambda path: path.write_bytes(broken_checksum(path.read_bytes())), 4, [IMAGES]),
        (IMAGES, lambda path: rewritten(path, lambda idx: idx[:4] + b"\xff\xff\xff\xff" + idx[8:]), 4, [IMAGES]),
        (IMAGES, lambda path: rewritten(path, lambda idx: idx[:4] + b"\xff" * 12 + idx[16:]), 4, [IMAGES]),
        (IMAGES, lambda path: rewritten(path, lambda idx: idx + b"\0"), 4, [IMAGES]),
        (IMAGES, lambda path: shutil.copy(path.with_name(LABELS), path), 4, [IMAGES]),
        (LABELS, lambda path: rewritten(path, lambda idx: idx[:-1] + b"\x0a"), 4, ["10 classes"]),
        (LABELS, lambda path: shutil.copy(path.with_name("t10k-labels-idx1-ubyte.gz"), path), 4, ["600", "200"]),
        (IMAGES, lambda path: rewritten(path, lambda idx: idx[:8] + struct.pack(">II", 56, 14) + idx[16:]), 4, ["28"]),
    ],
    ids=[
        *("missing", "truncated", "not gzip", "checksum", "promises more", "promises far more", "longer", "swapped"),
        *("label range", "counts", "shape"),
    ],
)
def test_data_files_that_cannot_be_used(
    refused: Refused, data_dir: Path, name: str, damage: Callable[[Path], object], code: int, words: list[str]
) -> None:
    damage(data_dir / name)
    refused(f"train fashion-concat --data-dir {data_dir}", code, *words)


def test_data_folders_that_are_not_there(refused: Refused, run_folder: Path) -> None:
    refused("train fashion-concat --data-dir absent", 3, "absent", IMAGES)
    refused(f"evaluate --metric mse --model {run_folder} --data-dir absent", 3, "absent", "t10k-images")


@pytest.mark.parametrize(
    ("arguments", "missing"),
    [
        ("train fashion-concat", IMAGES),
        ("evaluate --model {run}", "t10k-images-idx3-ubyte.gz"),
        ("evaluate --metric fid --model {run}", '"inception"'),
        ("reconstruct --dataset fashion-mnist --model {run}", "t10k-images-idx3-ubyte.gz"),
        ("generate dress --model nobody/nothing", "nobody/nothing"),
        ("download-weights inception", "inception"),
    ],
    ids=short,
)
def test_without_network_and_with_an_empty_cache(
    refused: Refused, run_folder: Path, arguments: str, missing: str
) -> None:
    refused(arguments.format(run=run_folder), 3, missing)


def test_an_unreachable_network(refused: Refused) -> None:
    closed = dict.fromkeys(["http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"], "http://127.0.0.1:9")
    nowhere = closed | {"HF_HUB_OFFLINE": "0", "no_proxy": "", "NO_PROXY": ""}
    refused("train fashion-concat", 3, IMAGES, env=nowhere)
    refused("generate dress --model nobody/nothing", 3, "nobody/nothing", env=nowhere)


# ---- runs --------------------------------------------------------------------------------------------------------


@pytest.fixture
def run_copy(run_folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run_folder, tmp_path / "run"))


def test_training_into_a_folder_that_holds_something_else(refused: Refused, tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("keep")
    for force in ([], ["--force"]):
        refused(["train", "fashion-concat", *QUICK, "--out", "thesis", *force], 2, "thesis", "not a run")


def test_training_into_a_folder_that_holds_a_run(refused: Refused, run_copy: Path) -> None:
    said = refused(["train", "fashion-concat", *QUICK, "--out", str(run_copy)], 2, str(run_copy), "already holds a run")
    assert "--resume" in said
    assert "--force" in said


def states(run: Path) -> list[Path]:
    found = sorted((run / "state").iterdir())
    assert [path.name for path in found] == ["previous-training.safetensors", "training.safetensors"]
    return found


def truncate_both_states(run: Path, size: int) -> None:
    for state in states(run):
        os.truncate(state, size)


@pytest.mark.parametrize(
    ("damage", "code", "words"),
    [
        (lambda run: (run / "recipe.toml").unlink(), 2, ["not a run"]),
        (lambda run: (run / "recipe.toml").write_text("epochs ="), 4, ["recipe.toml", "not TOML"]),
        (lambda run: shutil.rmtree(run / "state"), 3, ["training.safetensors is gone"]),
        (lambda run: truncate_both_states(run, 100_000), 4, ["training.safetensors", "so is the state before it"]),
        (lambda run: truncate_both_states(run, 0), 4, ["training.safetensors", "so is the state before it"]),
        (
            lambda run: [shutil.copy(run / "model" / "model.safetensors", state) for state in states(run)],
            4,
            ["training.safetensors", "not the state of a training", "so is the state before it"],
        ),
    ],
    ids=["no recipe", "recipe damaged", "no state", "state truncated", "state empty", "state of another kind"],
)
def test_runs_that_cannot_be_gone_on_with(
    refused: Refused, run_copy: Path, damage: Callable[[Path], object], code: int, words: list[str]
) -> None:
    (run_copy / ".lock").touch()
    damage(run_copy)
    refused(f"train --resume {run_copy}", code, *words)


@pytest.fixture
def training(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> Iterator[tuple[Path, subprocess.Popen[str]]]:
    """A training that runs until it is stopped, after its first epoch."""
    run = tmp_path / "busy"
    arguments = ["train", "fashion-concat", "--data-dir", str(FASHION), "--epochs", "100000", "--out", str(run)]
    with subprocess.Popen(
        [executable, *arguments], env=clean_environment, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            while not (run / "state" / "training.safetensors").exists():
                assert process.poll() is None
                time.sleep(0.05)
            yield run, process
        finally:
            process.kill()


def test_two_trainings_in_one_run_and_an_interrupt(cvae: Command, training: tuple[Path, subprocess.Popen[str]]) -> None:
    run, process = training
    again = ["train", "fashion-concat", *QUICK, "--out", str(run), "--force"]
    for arguments in (again, ["train", "--resume", str(run)]):
        done = cvae(*arguments)
        assert done.returncode == 2, done.stderr
        assert "cvae: another process is training in" in done.stderr
        assert "Traceback" not in done.stderr
        assert done.stdout == ""
    assert process.poll() is None
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.count("cvae: ") == 1
    assert "cvae: stopped after step" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
