"""Measure `cvae generate`: start-up time, pictures per second in bulk, and memory by the number of pictures.

    python benchmarks/generate.py [--part start|speed|memory] [--rounds 5] [--pictures 256] [--large]
    python benchmarks/generate.py --beside CHECKOUT [--rounds 5] [--pictures 256]

start: the installed command generates one picture, and a Python process only imports what the command needs. The rounds
alternate. The last column is the median of their ratios to the imports.

speed: pictures per second, written as PNG files by one process after the model is loaded. The rounds alternate, and the
best round of each counts. "a batch of 1" is the plain loop: condition, prior and decoder are called for one prompt at a
time, followed by `Image.save`. "generate" is the same loop with `CVAE.generate`, which computes a whole chunk, so that
its picture is bit-identical to that of the command. "bulk" is the code of `cvae generate --format png`.

memory: peak memory of the command, including the interpreter and torch, with one prompt per picture.

--beside: only the bulk way of "speed", by this version and by another checkout of this repository, each with its own
bundled models. Their processes alternate, and the last column is the median of the rounds' ratios.
"""

import argparse
import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cvae_cli import CVAE

CVAE_COMMAND = str(Path(sys.executable).with_name("cvae"))
PARTS = ["start", "speed", "memory"]
PROMPTS = {
    "fashion": ["a dress", "sneakers", "a bag", "two ankle boots", "a coat"],
    "scenes": ["two dogs on a beach", "snow", "a man on a bike", "a plate of food", "a city at night"],
}


def start(rounds: int) -> None:
    """Time the command and the imports in alternating rounds."""
    commands = {
        "import torch, PIL.Image": [sys.executable, "-c", "import torch, PIL.Image"],
        "cvae generate": [CVAE_COMMAND, "generate", "two dogs on a beach", "-o", "x.png"],
    }
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    with tempfile.TemporaryDirectory() as folder:
        for number in range(rounds + 1):
            for name, command in commands.items():
                began = time.perf_counter()
                subprocess.run(command, cwd=folder, check=True)
                if number:  # the first round warms the file cache
                    seconds[name].append(time.perf_counter() - began)
    print("start", "seconds", "times the imports", sep="\t")
    for name, each in seconds.items():
        ratios = (a / b for a, b in zip(each, seconds["import torch, PIL.Image"], strict=True))
        print(name, f"{statistics.median(each):.2f}", f"{statistics.median(ratios):.2f}", sep="\t", flush=True)


def speed(rounds: int, pictures: int) -> None:
    """Generate the same number of pictures in each way, one prompt per picture."""
    from cvae_cli import CVAE

    print("model", "a batch of 1", "generate", "bulk", "bulk / batch of 1", sep="\t")
    for name, some in PROMPTS.items():
        ways = ways_to_draw(CVAE.from_pretrained(name), list(itertools.islice(itertools.cycle(some), pictures)))
        best = [0.0] * len(ways)
        for number, (column, way) in itertools.product(range(rounds + 1), enumerate(ways)):
            with tempfile.TemporaryDirectory() as folder:
                began = time.perf_counter()
                way(Path(folder))
                if number:  # the first round warms up
                    best[column] = max(best[column], pictures / (time.perf_counter() - began))
        print(name, *(f"{value:.1f}" for value in best), f"{best[2] / best[0]:.1f}", sep="\t", flush=True)


def ways_to_draw(model: "CVAE", prompts: list[str]) -> list[Callable[[Path], None]]:
    """Return the three ways to generate pictures. Each takes the folder for its files."""
    import torch

    from cvae_cli.bulk.generate import generate_files
    from cvae_cli.pictures.grid import to_pil
    from cvae_cli.runtime import randomness
    from cvae_cli.text.prompts import Prompts

    @torch.inference_mode()
    def batch_of_one(folder: Path) -> None:
        for number, prompt in enumerate(prompts):
            condition = model.condition([prompt])
            z = model.prior.from_noise(randomness.noise(0, [0], model.latent_shape), condition)
            to_pil(model.decode(z, condition))[0].save(folder / f"{number}.png")

    def generate(folder: Path) -> None:
        for number, prompt in enumerate(prompts):
            model.generate(prompt)[0].save(folder / f"{number}.png")

    def bulk(folder: Path) -> None:
        generate_files(model, Prompts(prompts), folder)

    return [batch_of_one, generate, bulk]


def beside(checkout: Path, rounds: int, pictures: int) -> None:
    """Draw in bulk by two versions in turn."""
    versions = [checkout.resolve(), Path(__file__).resolve().parents[1]]
    print("model", "bulk, the other", "bulk, this one", "ratio", sep="\t")
    for model in PROMPTS:
        rates = [[bulk_rate(version, model, pictures) for version in versions] for _ in range(rounds)]
        best = [max(column) for column in zip(*rates, strict=True)]
        ratio = statistics.median(this / other for other, this in rates)
        print(model, *(f"{rate:.1f}" for rate in best), f"{ratio:.2f}", sep="\t", flush=True)


def bulk_rate(checkout: Path, model: str, pictures: int) -> float:
    """Return the pictures per second of a new process that runs the code of a checkout: the second of two rounds."""
    code = f"""
import itertools, pathlib, tempfile, time
from generate import PROMPTS, ways_to_draw
from cvae_cli import CVAE

prompts = list(itertools.islice(itertools.cycle(PROMPTS[{model!r}]), {pictures}))
bulk = ways_to_draw(CVAE.from_pretrained({model!r}), prompts)[2]
for _ in range(2):
    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        bulk(pathlib.Path(folder))
        seconds = time.perf_counter() - began
print({pictures} / seconds)
"""
    search = os.pathsep.join(str(checkout / each) for each in ("src", "benchmarks"))
    environment = os.environ | {"PYTHONPATH": search}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True, text=True)
    return float(done.stdout)


def memory(counts: list[int]) -> None:
    """Measure the peak memory of the command."""
    print("pictures", "format", "seconds", "peak memory, MB", sep="\t")
    for format, count in itertools.product(["png", "webdataset"], counts):
        with tempfile.TemporaryDirectory() as folder:
            prompts = itertools.islice(itertools.cycle(PROMPTS["fashion"]), count)
            Path(folder, "prompts.txt").write_text("".join(f"{prompt}\n" for prompt in prompts))
            command = [CVAE_COMMAND, "generate", "--model", "fashion", "--from", "prompts.txt", "--quiet"]
            began = time.perf_counter()
            process = subprocess.Popen([*command, "--format", format, "-o", "out"], cwd=folder)
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            assert process.returncode == 0
            peak = used.ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
            print(f"{count:,}", format, f"{time.perf_counter() - began:.0f}", f"{peak:.0f}", sep="\t", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="repeatable; default: all")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pictures", type=int, default=256, help="pictures per round of each way in speed")
    parser.add_argument("--large", action="store_true", help="also measure memory for 100,000 pictures")
    parser.add_argument(
        "--beside", type=Path, metavar="CHECKOUT", help="compare with another version, and nothing else"
    )
    options = parser.parse_args()
    if options.beside:
        beside(options.beside, options.rounds, options.pictures)
        return
    for part in options.part or PARTS:
        match part:
            case "start":
                start(options.rounds)
            case "speed":
                speed(options.rounds, options.pictures)
            case "memory":
                memory([1000, 10_000, *([100_000] if options.large else [])])


if __name__ == "__main__":
    main()
