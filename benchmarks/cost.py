"""What a training step costs: time and memory, by network, size of picture, batch and number of pictures.

    python benchmarks/cost.py --recipe scenes --recipe coco-64 --size 64 --size 128 --size 256 --batch-size 32

A row for each combination. Each is measured in a process of its own, on made-up pictures that are mapped from a file,
as prepared ones are: their bytes decide nothing about speed. The loop is `cvae train`'s without validation and saving.
Peak memory is all that the process ever held, the interpreter and torch included (0.4 GB); of mapped pictures, pages
that were read count until the system takes them back.
"""

import argparse
import itertools
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

from cvae_cli import CVAE
from cvae_cli.config.model import LabelClass
from cvae_cli.config.recipe_files import load_recipe, parse_assignment
from cvae_cli.data.batches import Batches
from cvae_cli.data.conditions import Labels, make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.runtime.device import DTYPES, count_flops, pick_device
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import condition_config, with_conditions
from cvae_cli.training.build import build_model
from cvae_cli.training.objective import WholeModel

Result = TypeVar("Result")

COLUMNS = ["recipe", "pixels", "batch", "pictures", "parameters", "MFLOP/image", "images/s", "steps/s", "GB at most"]
CHUNK = 1000  # pictures written at a time


def measure(recipe_name: str, size: int, batch_size: int, pictures: int, options: dict[str, Any]) -> list[str]:
    """One row of the table; meant for a process of its own."""
    device = pick_device("auto")
    recipe = load_recipe(recipe_name, {"data.condition": "static"} | options["set"])
    data = made_up(Path(options["file"]))
    model = build_model(recipe, data.name, data.image_shape, condition_config(data)).to(device)
    batches = Batches(data, batch_size=batch_size, device=device)
    images, condition = next(batches.epoch(0))
    operations = count_flops(model.elbo, images[:1], condition[:1])
    speed = steps_a_second(steps(model, batches, options["precision"]), options["seconds"], options["warm_up"])
    parameters = sum(parameter.numel() for parameter in model.parameters())
    numbers = [operations / 1e6, speed * batch_size, speed, peak_memory()]
    return [
        recipe_name,
        str(size),
        str(batch_size),
        f"{pictures:,}",
        f"{parameters / 1e6:.1f} M",
        *(f"{number:.3g}" for number in numbers),
    ]


def made_up(file: Path) -> Dataset:
    """The pictures of a file with captions, or classes where they are grey."""
    pixels = np.lib.format.open_memmap(file, mode="r")
    numbers = np.arange(len(pixels))
    if pixels.shape[-1] == 1:
        classes = tuple(LabelClass(name=f"class {number}", words=(f"kind{number}",)) for number in range(10))
        return dataset_from_pixels("made up", "train", pixels, Labels(numbers % 10, classes), "none")
    captions = make_captions([[f"number {number % 100}"] for number in numbers])
    return with_conditions(dataset_from_pixels("made up", "train", pixels, captions, "none"), load_encoder("static"))


def steps(model: CVAE, batches: Batches, precision: str) -> Iterator[None]:
    """The loop of `cvae train` without validation and saving, a step for each time that is asked for."""
    objective = WholeModel(model)
    optimizer = torch.optim.AdamW(objective.parameters(), lr=1e-4, fused=True)
    device, dtype = model.device, DTYPES[precision]
    objective.train_mode()
    for epoch in itertools.count():
        for images, condition in batches.epoch(epoch):
            with torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
                loss = objective.total(objective.losses(images, condition), beta=1.0).mean()
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            yield


def steps_a_second(steps: Iterator[Any], seconds: float, warm_up: int) -> float:
    """How many steps are taken in a second, after some to warm up."""

    def wait() -> float:
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return time.perf_counter()

    for _ in range(warm_up):
        next(steps)
    began, taken = wait(), 0
    while time.perf_counter() - began < seconds:
        next(steps)
        taken += 1
    return taken / (wait() - began)


def peak_memory() -> float:
    """The most that this process ever held, in GB; of a GPU's memory where there is one."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux


def in_own_process(function: Callable[..., Result], **arguments: Any) -> Result:
    """What a function of a benchmark returns, called in a fresh process: the memory that it holds is its own."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, **arguments).result()


def make_pictures(path: Path, size: int, n: int, channels: int = 3) -> None:
    """Noise in a mapped file, `(n, size, size, channels)`, written some at a time."""
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, size, size, channels))
    random = np.random.default_rng(0)
    for start in range(0, n, CHUNK):
        part = pixels[start : start + CHUNK]
        part[:] = random.integers(0, 256, part.shape, np.uint8)
    pixels.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", action="append", help="for photographs; may be repeated, as all that follow")
    parser.add_argument("--size", type=int, action="append", help="pixels a side")
    parser.add_argument("--batch-size", type=int, action="append")
    parser.add_argument("--pictures", type=int, action="append", help="in the data set")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for `cvae train`")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the clock starts")
    options = parser.parse_args()
    changes = dict(parse_assignment(change) for change in options.set)
    print(*COLUMNS, sep="\t", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size, n in itertools.product(options.size or [64], options.pictures or [1000]):
            file = Path(folder) / f"{size}-{n}.npy"
            make_pictures(file, size, n)
            for recipe, batch_size in itertools.product(options.recipe or ["scenes"], options.batch_size or [64]):
                row = {"recipe_name": recipe, "size": size, "batch_size": batch_size, "pictures": n}
                row["options"] = {
                    "file": str(file),
                    "set": changes,
                    "precision": options.precision,
                    "seconds": options.seconds,
                    "warm_up": options.warm_up,
                }
                print(*in_own_process(measure, **row), sep="\t", flush=True)
            file.unlink()


if __name__ == "__main__":
    main()
