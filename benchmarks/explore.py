"""Measure the page of `cvae explore`: the first picture, a slider's move, and memory over many requests.

    python benchmarks/explore.py --model fashion --moves 30
    python benchmarks/explore.py --model scenes --moves 30

It starts the command, and asks what the page asks. The load of the machine is printed beside the times: they are of
use only where it is small.
"""

import argparse
import json
import os
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--requests", type=int, default=0, help="drawings over which memory is watched")
    arguments = parser.parse_args()
    command = [str(Path(sys.executable).with_name("cvae")), "explore", arguments.model, "--no-browser", "--json"]
    with subprocess.Popen([*command, "--port", "0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as server:
        assert server.stdout is not None
        address = json.loads(server.stdout.readline())["address"]
        try:
            prompt = measure(address, arguments.model, arguments.moves)
            if arguments.requests:
                watch_memory(address, arguments.model, prompt, server.pid, arguments.requests)
        finally:
            began = time.perf_counter()
            server.send_signal(signal.SIGINT)
            server.wait()
            print(f"ended after            {time.perf_counter() - began:8.2f} s")


def measure(address: str, model: str, moves: int) -> str:
    """Print how long things take, and return the prompt that was drawn."""
    print(f"{model}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began = time.perf_counter()
    urllib.request.urlopen(address).read()
    about = json.loads(urllib.request.urlopen(f"{address}api/about").read())
    prompt = next(each for each in about["models"] if each["name"] == model)["prompts"][0]
    picture: Any = None
    for part in ask(address, "draw", model=model, prompt=prompt, n=8):
        if "picture" in part:
            picture = part["picture"]
            break
    print(f"first picture after    {time.perf_counter() - began:8.2f} s")
    for _ in ask(address, "directions", model=model):
        pass
    took = []
    for number in range(moves + 1):
        began = time.perf_counter()
        amounts = {"principal 1": number / 10}
        for _ in ask(address, "move", model=model, picture=picture["key"], prompt=prompt, amounts=amounts):
            pass
        took.append(1000 * (time.perf_counter() - began))
    middle, slowest = statistics.median(took[1:]), max(took[1:])
    print(f"a slider's move, median {middle:7.0f} ms (of {moves}, the slowest {slowest:.0f})")
    return str(prompt)


def watch_memory(address: str, model: str, prompt: str, process: int, requests: int) -> None:
    for number in range(requests):
        if number % (requests // 5) == 0:
            print(f"after {number:4} drawings    {resident(process):8.0f} MB")
        for _ in ask(address, "draw", model=model, prompt=prompt, n=1, seed=number):
            pass
    print(f"after {requests:4} drawings    {resident(process):8.0f} MB")


def resident(process: int) -> float:
    """The memory of a process, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def ask(address: str, action: str, **question: Any) -> Any:
    """Yield the parts of an answer."""
    request = urllib.request.Request(f"{address}api/{action}", data=json.dumps(question).encode())
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            yield json.loads(line)


if __name__ == "__main__":
    main()
