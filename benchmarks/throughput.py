"""Training beside a plain PyTorch loop: the same network, batch and number of pictures, in the same run.

    python benchmarks/throughput.py [--recipe fashion-concat] [--recipe coco-128] [--rounds 3] [--seconds 20]

"plain" is the article's loop (`plain_loop.py`): eager fp32, Adam, a shuffling DataLoader over floats in memory.
"cvae" is `cvae train`'s loop with `--precision auto`, pictures mapped from a file. Each round is a process of its own,
the two alternate, and the best of each counts. Pictures are made up: their bytes decide nothing about speed.

Training takes about three times the arithmetic of the forward pass. Its floor is what the machine's matrix product
reaches (2,048 a side, in fp32): the share of it that each loop gets stands beside its speed.
"""

import argparse
import tempfile
import time
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
from cvae_cli.training.precision import decide

RECIPES = ["fashion-concat", "coco-128"]
PICTURES = 2000
TRAINING = 3  # times the arithmetic of a forward pass
COLUMNS = [
    "recipe", "batch", "MFLOP/image", "plain, images/s", "cvae, images/s", "times", "precision", "plain, of peak",
    "cvae, of peak", "plain, GB", "cvae, GB",
]  # fmt: skip


def measure(kind: str, recipe_name: str, file: str, seconds: float) -> dict[str, Any]:
    """Images a second of one loop; meant for a process of its own."""
    device = pick_device("auto")
    recipe = load_recipe(recipe_name, {"data.condition": "static"} if recipe_name.startswith("coco") else {})
    data, batch_size = cost.made_up(Path(file)), recipe.training.batch_size
    model = build_model(recipe, data.name, data.image_shape, condition_config(data)).train().to(device)
    batches = Batches(data, batch_size=batch_size, device=device)
    images, condition = next(batches.in_order())
    operations = count_flops(model.elbo, images[:1], condition[:1])
    precision = "fp32"
    if kind == "cvae":
        precision, _ = decide(recipe, data, device)
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
    """Operations a second of a large matrix product in fp32."""
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
    parser.add_argument("--recipe", action="append", help=f"may be repeated; {' and '.join(RECIPES)} unless given")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=20, help="for each measurement")
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
