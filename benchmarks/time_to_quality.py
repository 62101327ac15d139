"""Measure how much faster `cvae train fashion-fast` reaches the quality of the article's plain loop.

    python benchmarks/time_to_quality.py [--data-dir DIR]

Both are trained one after the other on the same cores, and one `cvae evaluate` measures them on the 10,000 test
pictures. The time runs from the start to the finished model. It includes reading the pictures, validation and saving,
but not importing libraries: the time of the command is its wall time minus that of a process with the same imports. The
last line is the ratio of the times. It is printed only if `fashion-fast` is as good as the article (MSE <= 11.26, SSIM
>= 0.760) and its samples are no worse than those of the loop (fid-fashion, accuracy).
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

CVAE = str(Path(sys.executable).with_name("cvae"))
METRICS = ["mse", "ssim", "accuracy", "fid-fashion"]
IMPORTS = "import cvae_cli.app, cvae_cli.training.train, torch.optim"


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="folder with the four files of Fashion-MNIST")
    parser.add_argument("--epochs", type=int, default=20, help="epochs of the plain loop")
    parser.add_argument("--recipe", default="fashion-fast")
    options = parser.parse_args()
    data = ["--data-dir", options.data_dir] if options.data_dir else []

    with tempfile.TemporaryDirectory() as folder:
        slow, fast = str(Path(folder) / "plain"), str(Path(folder) / "fast")
        imports = min(timed([sys.executable, "-c", IMPORTS]) for _ in range(3))
        fast_seconds = timed([CVAE, "train", options.recipe, *data, "--out", fast, "--quiet"]) - imports
        print(f"{options.recipe}\t{fast_seconds:.1f} s\twithout imports ({imports:.1f} s)", flush=True)
        loop = [sys.executable, str(Path(__file__).with_name("plain_loop.py")), "--epochs", str(options.epochs)]
        done = subprocess.run([*loop, *data, "--out", slow], check=True, stdout=subprocess.PIPE, text=True)
        slow_seconds = float(done.stdout.splitlines()[-1])
        print(f"plain loop\t{slow_seconds:.1f} s", flush=True)
        metrics = [part for metric in METRICS for part in ("--metric", metric)]
        judged = [CVAE, "evaluate", "--model", slow, "--model", fast, *data, *metrics, "--json", "--quiet"]
        result = json.loads(subprocess.run(judged, check=True, stdout=subprocess.PIPE).stdout)
    plain, ours = (each["scores"] for each in result["models"])
    for metric in METRICS:
        print(f"{metric}\t{plain[metric]:.4g}\t{ours[metric]:.4g}")
    short = [
        *(["mse"] if ours["mse"] > 11.26 else []),
        *(["ssim"] if ours["ssim"] < 0.760 else []),
        *(["accuracy"] if ours["accuracy"] < plain["accuracy"] else []),
        *(["fid-fashion"] if ours["fid-fashion"] > plain["fid-fashion"] else []),
    ]
    if short:
        raise SystemExit(f"not as good: {', '.join(short)}")
    print(f"{slow_seconds / fast_seconds:.1f}x")


if __name__ == "__main__":
    main()
