"""Make the files in this folder with version 0.1.0 (commit b181c32). Later versions must read them.

    PYTHONPATH=CHECKOUT/src python make.py

runs the version in the folder CHECKOUT. This was done once. Files of a later version would prove nothing.

    pictures/       twelve pictures with captions; the split `train` has eleven of them
    run/            a run on Fashion-MNIST, stopped by Ctrl-C within an epoch of its first training
    run-in-prior/   a run on the pictures, stopped by Ctrl-C within an epoch of the second training, of the prior
    model/          finished models of the pictures: `captions` with a score prior, `labels` with a flow
    cache/          the prepared pictures from $CVAE_HOME/prepared, and the vectors of their captions
    manifest/       pictures of `model/labels` by `cvae generate --format png`
    expected/       what this version made of them: the resumed runs' losses and weights, sheets of pictures, bounds

In the text files of the runs, @FASHION@, @PICTURES@ and @RUN@ stand for absolute paths. Locks and the pictures in
`samples/` are left out. Conditions from captions depend on the embedded text encoder, whose digest is in
`model/captions/config.json`. Nothing depends on the bundled models.
"""

import json
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from cvae_cli import CVAE, __version__

HERE = Path(__file__).parent.resolve()
FASHION = HERE.parent / "fashion-mnist"
TEXTS = {".toml", ".json", ".jsonl", ".md"}

EXACT = ["--precision", "fp32", "--device", "cpu"]

RUN = [
    *["train", "fashion", "--data-dir", str(FASHION), "--limit", "64", "--epochs", "2", "--batch-size", "4"],
    *["--latent-dim", "1", "--set", "architecture.conditioning=add", "--set", "training.ema_decay=0.9"],
    *["--set", 'architecture.network={kind="residual", width=8, blocks=1, levels=1, latent="map"}'],
    *["--set", 'then.prior={kind="score", width=8, blocks=1, condition_width=8, steps=4, guidance=2.0}'],
    *["--set", "then.training.epochs=2", "--set", "then.training.batch_size=8", "--set", "then.training.ema_decay=0.9"],
    *["--out", "run", *EXACT],
]

PICTURES = ["train", "folder:pictures", "--size", "8", "--condition", "static", "--batch-size", "4"]
RUN_IN_PRIOR = [
    *[*PICTURES, "--epochs", "2", "--latent-dim", "2", "--set", "data.epoch_size=44", "--set", "training.ema_decay=0"],
    *["--set", 'architecture.network={kind="dense", width=2, layers=1}', "--set", "architecture.conditioning=concat"],
    *["--set", 'then.prior={kind="flow", layers=2, width=8, condition_width=2}'],
    *["--set", "then.training.epochs=3", "--set", "then.training.batch_size=4", "--set", "then.training.ema_decay=0"],
    *["--out", "run-in-prior", *EXACT],
]

CAPTIONS = [
    *[*PICTURES, "--epochs", "6", "--latent-dim", "2", "--beta", "0", "--set", "data.epoch_size=800"],
    *["--set", "name=captions", "--set", "architecture.conditioning=concat"],
    *["--set", 'architecture.network={kind="dense", width=6, layers=1}'],
    *["--set", 'architecture.likelihood={kind="logistic"}'],
    *["--set", "training.ema_decay=0.9", "--set", "then.training.ema_decay=0.9", "--set", "then.training.epochs=6"],
    *["--set", 'then.prior={kind="score", width=16, blocks=1, condition_width=4, steps=6, guidance=2.0}'],
    *["--set", "training.learning_rate=3e-3", "--set", "then.training.learning_rate=1e-2", "--out", "captions", *EXACT],
]

LABELS = [
    *["train", "fashion-concat", "--data", "folder:classes", "--size", "8", "--epochs", "8", "--batch-size", "4"],
    *["--set", "name=labels", "--latent-dim", "2", "--beta", "0.2", "--lr", "3e-3", "--set", "data.epoch_size=200"],
    *["--set", "architecture.network.condition_width=8", "--set", "architecture.network.label_width=2"],
    *["--set", 'architecture.prior={kind="flow", layers=3, width=8, condition_width=4}', "--out", "labels", *EXACT],
]

PROMPTS = ["a red ball", "blue water", "green grass"]
DRAWN = {
    "captions": ["captions", "--guidance", "3", "--temperature", "2"],
    "labels": ["labels"],
    "run": ["run", "--temperature", "0.7"],
    "run-in-prior": ["run-in-prior"],
}
"""Which models draw one sheet each, and how."""
FASHION_PROMPTS = ["a dress", "sneakers", "an ankle boot"]

INTO_FOLDER = ["generate", "--from", "prompts.txt", "-n", "2", "--seed", "5", "--format", "png", "--device", "cpu"]


def cvae(*arguments: str, where: Path) -> None:
    subprocess.run([sys.executable, "-m", "cvae_cli", *arguments], cwd=where, env=environment(where), check=True)


def environment(where: Path) -> dict[str, str]:
    return os.environ | {"CVAE_HOME": str(where / "home"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}


def paint(folder: Path) -> None:
    """Twelve pictures of three kinds, in colours of their own, some with two captions."""
    random = np.random.default_rng(0)
    kinds = {
        "red": ((200, 30, 40), ["a red ball", "something round and red"]),
        "blue": ((30, 60, 190), ["blue water"]),
        "green": ((40, 160, 50), ["green grass", "a green meadow", "grass in the sun"]),
    }
    for number in range(12):
        kind = list(kinds)[number % 3]
        colour, captions = kinds[kind]
        pixels = np.clip(random.normal(colour, 12, (10, 12, 3)), 0, 255).astype(np.uint8)
        pixels[1 + number // 3 * 2 : 3 + number // 3 * 2, 1:11] //= 4
        for place in (folder / "pictures", folder / "classes" / kind):
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(place / f"{number:02}.png")
        (folder / "pictures" / f"{number:02}.txt").write_text("\n".join(captions) + "\n")


def position(state: Path) -> dict[str, Any]:
    """How far a training has come, by its state."""
    try:
        with state.open("rb") as file:
            (length,) = struct.unpack("<Q", file.read(8))
            return json.loads(json.loads(file.read(length))["__metadata__"]["position"])
    except FileNotFoundError:
        return {"epoch": 0, "batch": 0}


def stopped(arguments: list[str], stage: Path, where: Path) -> None:
    """Train, and press Ctrl-C soon after the first epoch of a stage; again until that was in the middle of the next."""
    run = where / arguments[arguments.index("--out") + 1]
    for attempt in range(1, 20):
        shutil.rmtree(run, ignore_errors=True)
        command = [sys.executable, "-m", "cvae_cli", *arguments]
        with subprocess.Popen(command, cwd=where, env=environment(where)) as process:
            while position(stage / "state" / "training.safetensors")["epoch"] == 0:
                assert process.poll() is None
                time.sleep(0.001)
            time.sleep(0.02 * attempt)
            process.send_signal(signal.SIGINT)
        reached = position(stage / "state" / "training.safetensors")
        if process.returncode == 130 and reached["epoch"] == 1 and reached["batch"] > 1:
            print(stage.name, {name: reached[name] for name in ("epoch", "batch", "step")})
            return
    raise AssertionError("never stopped in the middle")


def keep(source: Path, name: str, where: Path) -> None:
    """Copy what was made, without what only this machine has."""
    target = Path(shutil.copytree(source, HERE / name, ignore=shutil.ignore_patterns(".*", "*.lock", "home")))
    paths = {f"{where}/{name}": "@RUN@", f"{where}/pictures": "@PICTURES@", str(FASHION): "@FASHION@"}
    if name.startswith("model"):
        paths = {f"{where}/": ""}
    for path in target.rglob("*"):
        if path.suffix in TEXTS:
            text = path.read_text()
            for full, short in paths.items():
                text = text.replace(full, short)
            path.write_text(text)
        elif path.parent.name == "samples":
            path.unlink()


def bounds(folder: Path, images: torch.Tensor) -> dict[str, Any]:
    """What a model says of three pictures, each with its prompt."""
    model = CVAE.from_pretrained(folder)
    with torch.no_grad():
        condition = model.condition(PROMPTS)
        bound = model.elbo(images, condition, noise=torch.zeros(3, *model.latent_shape))
    return {"rate": bound.rate.tolist(), "distortion": bound.distortion.tolist()}


def main() -> None:
    assert __version__ == "0.1.0"
    for each in HERE.iterdir():
        if each.is_dir():
            shutil.rmtree(each)
    with tempfile.TemporaryDirectory() as temporary:
        where = Path(temporary).resolve()
        paint(where)
        keep(where / "pictures", "pictures", where)

        stopped(RUN, where / "run", where)
        stopped(RUN_IN_PRIOR, where / "run-in-prior" / "prior", where)
        for name in ("run", "run-in-prior"):
            keep(where / name, name, where)
        (prepared,) = (where / "home" / "prepared").glob("*-train-8-*[0-9a-f]")
        keep(prepared, "cache", where)

        cvae(*CAPTIONS, where=where)
        cvae(*LABELS, where=where)
        keep(where / "captions" / "prior" / "model", "model/captions", where)
        keep(where / "labels" / "model", "model/labels", where)

        expected = HERE / "expected"
        expected.mkdir()
        for name, arguments in DRAWN.items():
            prompts = FASHION_PROMPTS if name == "run" else PROMPTS
            sheet = ["-n", "2", "--seed", "3", "--device", "cpu", "-o", f"{name}.png"]
            cvae("generate", *prompts, "--model", *arguments, *sheet, where=where)
            shutil.copy(where / f"{name}.png", expected)

        (where / "prompts.txt").write_text("\n".join(PROMPTS) + "\n")
        (where / "model").symlink_to(HERE / "model")
        cvae(*INTO_FOLDER, "--model", "model/labels", "-o", "manifest", where=where)
        keep(where / "manifest", "manifest", where)
        shutil.copy(where / "prompts.txt", HERE / "manifest")

        for name in ("run", "run-in-prior"):
            cvae("train", "--resume", name, "--device", "cpu", where=where)
            for file in ("metrics.jsonl", "prior/metrics.jsonl", "prior/model/model.safetensors"):
                (expected / name / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(where / name / file, expected / name / file)
        learned = expected / "run-in-prior" / "prior" / "model" / "model.safetensors"  # the rest is in the run already
        save_file({key: each for key, each in load_file(learned).items() if key.startswith("prior.")}, learned)

        pixels = np.fromfile(HERE / "cache" / "pixels.bin", np.uint8).reshape(-1, 8, 8, 3)
        images = torch.from_numpy(pixels[:3]).permute(0, 3, 1, 2).float() / 255
        found = {name: bounds(HERE / "model" / name, images) for name in ("captions", "labels")}
        (expected / "bounds.json").write_text(json.dumps(found, indent=2) + "\n")

        everything = [path for path in HERE.rglob("*") if path.is_file() and path != Path(__file__).resolve()]
        for path in everything:
            content = path.read_bytes()
            assert not any(os.fsencode(place) in content for place in (where, HERE, Path.home())), path
        print(f"{sum(path.stat().st_size for path in everything):,} bytes")


if __name__ == "__main__":
    main()
