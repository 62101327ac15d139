"""Measure how long evaluations take, and how long they are silent.

    python benchmarks/evaluate.py [--data-dir FOLDER] [--pictures 2000] [--size 64] [--part models|sets]

models: `cvae evaluate --model fashion` draws a sample for each test picture of Fashion-MNIST (10,000) and computes
fid-fashion, accuracy, precision and recall. FOLDER has the published files, if they are not in the cache.

sets: `cvae evaluate --real A --generated B --metric fid` on two folders of PNG files, alternating with torch-fidelity's
own command `fidelity --fid` on the same folders. Both compute with Inception of random weights, from one file.

Each command runs in a process of its own, so its time has the start of Python and torch. Seconds are followed by those
of the processor, which say more where other programs use the cores, best with OMP_NUM_THREADS=1: threads that wait for
each other use the processor, too. The longest silence is that between two events of progress, until the last picture
is measured.
"""

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

# The command itself, with Inception's weights in a given file; it writes down the times between events of progress.
CVAE = """
import atexit, json, os, sys, time
from dataclasses import replace
from pathlib import Path
from cvae_cli import app
from cvae_cli.console import progress

times = []
update = progress.Lines.update

def heard(self, task, *rest):
    if "scores" not in task:
        times.append(time.monotonic())
    update(self, task, *rest)

progress.Lines.update = heard
weights, gaps = os.environ.get("INCEPTION"), os.environ["GAPS"]
if weights:
    from cvae_cli.weights.registry import REGISTRY
    entry = REGISTRY["inception"]
    about = {"url": Path(weights).as_uri(), "sha256": os.environ["SHA256"], "size": Path(weights).stat().st_size}
    REGISTRY["inception"] = replace(entry, **about)
atexit.register(lambda: Path(gaps).write_text(json.dumps([b - a for a, b in zip(times, times[1:])])))
app.main()
"""

FIDELITY = "from torch_fidelity.fidelity import main; main()"  # the command `fidelity`


def main() -> None:
    """Run what the options ask for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, help="the published files of Fashion-MNIST")
    parser.add_argument("--pictures", type=int, default=2000, help="in each folder")
    parser.add_argument("--size", type=int, default=64, help="pixels a side")
    parser.add_argument("--part", choices=["models", "sets"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        if options.part != "sets":
            time_models(Path(name), options.data_dir)
        if options.part != "models":
            time_sets(Path(name), options.pictures, options.size)


def time_models(folder: Path, data_dir: Path | None) -> None:
    """Time the evaluation of a model."""
    metrics = [part for name in ("fid-fashion", "accuracy", "precision", "recall") for part in ("--metric", name)]
    where = [] if data_dir is None else ["--data-dir", str(data_dir.resolve())]
    spent, silence, printed = run_cvae(folder, ["--model", "fashion", *metrics, *where], {})
    print(printed.strip())
    print(f"fashion, a sample for each test picture: {spent}, longest silence {silence:.1f} s", flush=True)


def time_sets(folder: Path, pictures: int, size: int) -> None:
    """Time the comparison of two folders, with this program and with torch-fidelity."""
    for number, name in enumerate(("a", "b")):
        make_pictures(folder / name, pictures, size, seed=number)
    weights = folder / "cvae" / "weights" / "inception.pth"
    weights.parent.mkdir(parents=True)
    make_inception(weights)
    known = {
        "INCEPTION": str(weights),
        "SHA256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "CVAE_HOME": str(folder / "cvae"),
    }
    fidelity = [sys.executable, "-c", FIDELITY, "--fid", "--json", "--silent"]
    fidelity += ["--input1", "a", "--input2", "b", "--feature-extractor-weights-path", str(weights), "--cpu"]
    their_spent, printed = run(fidelity, folder, {})
    theirs = json.loads(printed)["frechet_inception_distance"]
    spent, silence, printed = run_cvae(folder, ["--real", "b", "--generated", "a", "--metric", "fid"], known)
    ours = float(printed.split("\t")[1])
    print(f"torch-fidelity: {their_spent}, fid {theirs:.6g}")
    print(f"cvae: {spent}, fid {ours:.6g}, longest silence {silence:.1f} s")
    ratios = f"{spent.seconds / their_spent.seconds:.2f} (processor {spent.processor / their_spent.processor:.2f})"
    print(f"{pictures:,} pictures a side of {size}x{size}: {ratios} times torch-fidelity's time")


class Spent(NamedTuple):
    """What a command has taken: seconds, and seconds of the processor."""

    seconds: float
    processor: float

    def __str__(self) -> str:
        return f"{self.seconds:.1f} s (processor {self.processor:.1f} s)"


def run_cvae(folder: Path, arguments: list[str], environment: dict[str, str]) -> tuple[Spent, float, str]:
    """Run `cvae evaluate`, and return what it takes, its longest silence, and what it prints."""
    gaps = folder / "gaps.json"
    spent, printed = run(
        [sys.executable, "-c", CVAE, "evaluate", *arguments, "--device", "cpu"],
        folder,
        {**environment, "GAPS": str(gaps)},
    )
    return spent, max(json.loads(gaps.read_text()), default=0.0), printed


def run(command: list[str], folder: Path, environment: dict[str, str]) -> tuple[Spent, str]:
    """Run a command in a folder, and return what it takes and what it prints."""
    before, started = processor_seconds(), time.perf_counter()
    done = subprocess.run(
        command, cwd=folder, env=os.environ | environment, stdout=subprocess.PIPE, text=True, check=True
    )
    return Spent(time.perf_counter() - started, processor_seconds() - before), done.stdout


def processor_seconds() -> float:
    """Return what all commands so far have taken of the processor."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def make_pictures(folder: Path, n: int, size: int, *, seed: int) -> None:
    """Write pictures of smooth colours, which compress about as well as photographs."""
    folder.mkdir()
    random = np.random.default_rng(seed)
    for number in range(n):
        coarse = random.integers(0, 256, (size // 8, size // 8, 3), np.uint8)
        picture = Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)
        noisy = np.asarray(picture, np.int16) + random.integers(-8, 9, (size, size, 3))
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)).save(folder / f"{number:05}.png")


def make_inception(path: Path) -> None:
    """Write random weights of Inception to a file."""
    import torch
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    class Random(FeatureExtractorInceptionV3):
        def load_state_dict(self, *arguments: object, **options: object) -> None:
            for module in self.modules():
                if isinstance(module, torch.nn.Conv2d):
                    torch.nn.init.kaiming_normal_(module.weight)

    torch.save({}, path)
    torch.manual_seed(0)
    network = Random("inception-v3-compat", ["2048"], str(path))
    torch.save(network.state_dict(), path)


if __name__ == "__main__":
    main()
