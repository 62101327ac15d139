"""Measure the start-up time of the command: `cvae --help`, `--version` and a completion beside a bare interpreter.

    python benchmarks/startup.py [--runs 9]

Each round runs all commands. The last line is the extra time of `cvae --help` in seconds, from the medians. The seconds
are the machine's; their ratios to the bare interpreter say more.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cvae_cli.completion import VARIABLE

CVAE = str(Path(sys.executable).with_name("cvae"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "cvae --version": [CVAE, "--version"],
    "cvae --help": [CVAE, "--help"],
    "Tab": [CVAE, "evaluate", "--model", ""],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for number in range(runs + 1):
        for name, command in COMMANDS.items():
            started = time.perf_counter()
            environment = os.environ | ({VARIABLE: "zsh"} if name == "Tab" else {})
            subprocess.run(command, env=environment, check=True, capture_output=True)
            if number:  # the first round warms the file cache
                seconds[name].append(time.perf_counter() - started)
    bare = statistics.median(seconds["python -c pass"])
    for name, values in seconds.items():
        median = statistics.median(values)
        print(f"{name:<16} {median:.3f} s  ({min(values):.3f} to {max(values):.3f})  {median / bare:4.1f} x bare")
    print(f"+{statistics.median(seconds['cvae --help']) - bare:.3f} s")


if __name__ == "__main__":
    main()
