"""How much sooner `cvae train fashion-fast` is as good as the article's plain loop.

    python benchmarks/time_to_quality.py [--data-dir DIR]

Both are trained, one after the other on the same cores, and measured by one `cvae evaluate` on the 10,000 test
pictures. Time is from start to finished model, reading the pictures, validation and saving included, importing
libraries not: for the command that is its wall time less that of a process that only imports what it imports. The last
line is the ratio of the times; it is said only where the second is as good as the article (MSE <= 11.26,
SSIM >= 0.760) and its samples are no worse than the loop's (fid-fashion, accuracy).
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
IMPORTS = "import cvae_cli.app, cvae_cli.training.fit, cvae_cli.training.prepare, torch.optim"


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", help="Fashion-MNIST's four files")
    parser.add_argument("--epochs", type=int, default=20, help="of the plain loop")
    parser.add_argument("--recipe", default="fashion-fast")
    options = parser.parse_args()
    data = ["--data-dir", options.data_dir] if options.data_dir else []

    with tempfile.TemporaryDirectory() as folder:
        slow, fast = str(Path(folder) / "plain"), str(Path(folder) / "fast")
        imports = min(timed([sys.executable, "-c", IMPORTS]) for _ in range(3))
        fast_seconds = timed([CVAE, "train", options.recipe, *data, "--out", fast, "--quiet"]) - imports
        print(f"{options.recipe}\t{fast_seconds:.1f} s\timports {imports:.1f} s left out", flush=True)
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
