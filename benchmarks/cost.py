"""Measure time and memory of a training step by network, picture size, batch size and number of pictures.

    python benchmarks/cost.py --recipe pictures --recipe coco-64 --size 64 --size 128 --size 256 --batch-size 32

The output has one row for each combination. Each is measured in a separate process on synthetic pictures, which do not
change the speed. Like prepared pictures, they are mapped from a file. The loop is that of `cvae train` without
validation and saving. Peak memory is the largest resident size of the process, including the interpreter and torch (0.4
GB). Pages of mapped pictures count from the first read until the system reclaims them.
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
from cvae_cli.config.condition import LabelClass
from cvae_cli.config.recipe_files import load_recipe, parse_assignment
from cvae_cli.data.batches import Batches
from cvae_cli.data.conditions import Labels, make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.runtime.device import DTYPES, count_flops, pick_device
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import condition_config, with_conditions
from cvae_cli.training.build import build_model
from cvae_cli.training.objectives.bound import BoundObjective

Result = TypeVar("Result")

COLUMNS = ["recipe", "pixels", "batch", "pictures", "parameters", "MFLOP/image", "images/s", "steps/s", "GB at most"]
CHUNK = 1000  # pictures per write


def measure(recipe_name: str, size: int, batch_size: int, pictures: int, options: dict[str, Any]) -> list[str]:
    """Return one row of the table. Call this in a separate process, so that its peak memory is its own."""
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
    """Load the pictures of a file as a data set: grey pictures get classes, others get captions."""
    pixels = np.lib.format.open_memmap(file, mode="r")
    numbers = np.arange(len(pixels))
    if pixels.shape[-1] == 1:
        classes = tuple(LabelClass(name=f"class {number}", words=(f"kind{number}",)) for number in range(10))
        return dataset_from_pixels("made up", "train", pixels, Labels(numbers % 10, classes), "none")
    captions = make_captions([[f"number {number % 100}"] for number in numbers])
    return with_conditions(dataset_from_pixels("made up", "train", pixels, captions, "none"), load_encoder("static"))


def steps(model: CVAE, batches: Batches, precision: str) -> Iterator[None]:
    """Run the loop of `cvae train` without validation and saving, one step per iteration."""
    objective = BoundObjective(model)
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
    """Return the number of steps per second, after some warm-up steps."""

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
    """Return the peak memory of this process in GB; on a machine with a GPU, the peak GPU memory."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux


def in_own_process(function: Callable[..., Result], **arguments: Any) -> Result:
    """Call a function in a fresh process, so that its peak memory is its own, and return its result."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, **arguments).result()


def make_pictures(path: Path, size: int, n: int, channels: int = 3) -> None:
    """Write noise `(n, size, size, channels)` to a mapped file in chunks."""
    pixels = np.lib.format.open_memmap(path, mode="w+", dtype=np.uint8, shape=(n, size, size, channels))
    random = np.random.default_rng(0)
    for start in range(0, n, CHUNK):
        part = pixels[start : start + CHUNK]
        part[:] = random.integers(0, 256, part.shape, np.uint8)
    pixels.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", action="append", help="a recipe for photographs; repeatable")
    parser.add_argument("--size", type=int, action="append", help="pixels per side; repeatable")
    parser.add_argument("--batch-size", type=int, action="append", help="repeatable")
    parser.add_argument("--pictures", type=int, action="append", help="pictures in the data set; repeatable")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="as for `cvae train`")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default="fp32")
    parser.add_argument("--seconds", type=float, default=20, help="time of the measurement of each row")
    parser.add_argument("--warm-up", type=int, default=2, help="steps before the measurement")
    options = parser.parse_args()
    changes = dict(parse_assignment(change) for change in options.set)
    print(*COLUMNS, sep="\t", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for size, n in itertools.product(options.size or [64], options.pictures or [1000]):
            file = Path(folder) / f"{size}-{n}.npy"
            make_pictures(file, size, n)
            for recipe, batch_size in itertools.product(options.recipe or ["pictures"], options.batch_size or [64]):
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
