"""Compare the throughput of training with a plain PyTorch loop for the same network, batch and pictures.

    python benchmarks/throughput.py [--recipe fashion-concat] [--recipe coco-128] [--rounds 3] [--seconds 20]

"plain" is the article's loop (`plain_loop.py`): eager fp32, Adam, a shuffling DataLoader over floats in memory. "cvae"
is the loop of `cvae train` with `--precision auto`, with pictures mapped from a file. Each round runs in a separate
process, the two loops alternate, and the best round of each counts. The pictures are synthetic, which does not change
the speed.

Training takes about three times the arithmetic of the forward pass. The columns "of peak" give the arithmetic of each
loop as a share of the machine's peak, the speed of a product of two square fp32 matrices with 2,048 rows.
"""

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cost
import plain_loop
import torch

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.batches import Batches
from cvae_cli.runtime.device import count_flops, pick_device
from cvae_cli.text.condition import condition_config
from cvae_cli.training.build import build_model
from cvae_cli.training.precision import decide_precision

RECIPES = ["fashion-concat", "coco-128"]
PICTURES = 2000
TRAINING = 3  # arithmetic of a training step, relative to a forward pass
COLUMNS = [
    "recipe", "batch", "MFLOP/image", "plain, images/s", "cvae, images/s", "times", "precision", "plain, of peak",
    "cvae, of peak", "plain, GB", "cvae, GB",
]  # fmt: skip


def measure(kind: str, recipe_name: str, file: str, seconds: float) -> dict[str, Any]:
    """Measure one loop. Call this in a separate process, so that its peak memory is its own."""
    device = pick_device("auto")
    recipe = load_recipe(recipe_name, {"data.condition": "static"} if recipe_name.startswith("coco") else {})
    data, batch_size = cost.made_up(Path(file)), recipe.training.batch_size
    model = build_model(recipe, data.name, data.image_shape, condition_config(data)).train().to(device)
    batches = Batches(data, batch_size=batch_size, device=device)
    images, condition = next(batches.in_order())
    operations = count_flops(model.elbo, images[:1], condition[:1])
    precision = "fp32"
    steps: Iterator[Any]
    if kind == "cvae":
        precision, _ = decide_precision(recipe, data, device)
        steps = cost.steps(model, batches, precision)
    else:
        loader = plain_loop.loader_of(data, batch_size)
        steps = plain_loop.steps(model.network, loader)
    speed = batch_size * cost.steps_a_second(steps, seconds, warm_up=3)
    return {
        "speed": speed,
        "memory": cost.peak_memory(),
        "precision": precision,
        "operations": operations,
        "batch": batch_size,
    }


def peak() -> float:
    """Return the operations per second of a large fp32 matrix product."""
    device = pick_device("auto")
    a = torch.randn(2048, 2048, device=device)
    best = 0.0
    for _ in range(10):
        began = time.perf_counter()
        (a @ a)[0, 0].item()
        best = max(best, 2 * 2048**3 / (time.perf_counter() - began))
    return best


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", action="append", help=f"repeatable; default: {' and '.join(RECIPES)}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="of each measurement")
    options = parser.parse_args()
    best_product = peak()
    print(f"matrix product, fp32\t{best_product / 1e9:.0f} GFLOP/s")
    print(*COLUMNS, sep="\t", flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for name in options.recipe or RECIPES:
            file = Path(folder) / f"{name}.npy"
            size = load_recipe(name).data.size
            cost.make_pictures(file, size or 28, PICTURES, channels=3 if size else 1)
            best: dict[str, dict[str, Any]] = {}
            for _ in range(options.rounds):
                for kind in ("plain", "cvae"):
                    what = {"kind": kind, "recipe_name": name, "file": str(file), "seconds": options.seconds}
                    done = cost.in_own_process(measure, **what)
                    if kind not in best or done["speed"] > best[kind]["speed"]:
                        best[kind] = done
            plain, ours = best["plain"], best["cvae"]
            shares = [TRAINING * each["operations"] * each["speed"] / best_product for each in (plain, ours)]
            print(
                name,
                plain["batch"],
                f"{plain['operations'] / 1e6:.3g}",
                f"{plain['speed']:.4g}",
                f"{ours['speed']:.4g}",
                f"{ours['speed'] / plain['speed']:.2f}",
                ours["precision"],
                *(f"{share:.2f}" for share in shares),
                *(f"{each['memory']:.2f}" for each in (plain, ours)),
                sep="\t",
                flush=True,
            )


if __name__ == "__main__":
    main()
