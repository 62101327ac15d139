"""Measure the page of `cvae explore`, or take the pictures of docs/explore.md.

    python benchmarks/explore.py --model fashion --data-dir fashion-mnist
    python benchmarks/explore.py --model scenes --requests 500
    python benchmarks/explore.py --pictures docs/images --run runs/fashion-concat --data-dir fashion-mnist

It starts the command, and asks what the page asks: the first picture, the moves of a slider, and with --requests, how
much memory that many drawings, moves, dropped pictures and files that are no pictures take. The load of the machine is
printed beside the times: they are of use only where it is small. The processor time of a move is of use elsewhere, too.

--pictures needs `pip install playwright` and chromium.
"""

import argparse
import io
import json
import os
import shutil
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image

LARGEST = 150_000  # bytes of a picture of the documentation
NO_PICTURE = b"\x89PNG\r\n\x1a\n no picture"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="fashion")
    parser.add_argument("--data-dir", help="a folder with the data set of the model")
    parser.add_argument("--moves", type=int, default=30)
    parser.add_argument("--requests", type=int, default=0, help="requests over which memory is watched")
    parser.add_argument("--pictures", type=Path, help="the folder to write pictures of the page to, instead")
    parser.add_argument("--run", help="a run for the pictures of the tabs Draw and Runs")
    arguments = parser.parse_args()
    words = [arguments.model, *([arguments.run] if arguments.run else [])]
    words += ["--data-dir", arguments.data_dir] if arguments.data_dir else []
    with served(words) as (address, process):
        if arguments.pictures:
            take_pictures(address, arguments.pictures, arguments.run)
            return
        prompt = measure(address, arguments.model, arguments.moves, process)
        if arguments.requests:
            watch_memory(address, arguments.model, prompt, process, arguments.requests)


@contextmanager
def served(words: list[str]) -> Iterator[tuple[str, int]]:
    """Serve the page, and end it as Ctrl-C does. Yields its address and the id of the process."""
    command = [str(Path(sys.executable).with_name("cvae")), "explore", *words, "--no-browser", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip(), server.pid
            began = time.perf_counter()
            server.send_signal(signal.SIGINT)
            server.wait(60)
            print(f"ended after             {time.perf_counter() - began:7.2f} s")
        finally:
            server.kill()


def measure(address: str, model: str, moves: int, process: int) -> str:
    """Print how long things take, and return the prompt that was drawn."""
    print(f"{model}, load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    began = time.perf_counter()
    urllib.request.urlopen(address).read()
    about = json.loads(urllib.request.urlopen(f"{address}api/about").read())
    prompt = next(each for each in about["models"] if each["name"] == model)["prompts"][0]
    pictures = (part["picture"] for part in ask(address, "draw", model=model, prompt=prompt, n=8) if "picture" in part)
    picture = next(pictures)
    print(f"first picture after     {time.perf_counter() - began:7.2f} s")
    began = time.perf_counter()
    list(ask(address, "directions", model=model))
    print(f"sliders after           {time.perf_counter() - began:7.2f} s")
    took, used = [], []
    for number in range(moves + 1):
        began, before = time.perf_counter(), processor_time(process)
        amounts = {"principal 1": number / 10}
        list(ask(address, "move", model=model, picture=picture["key"], prompt=prompt, amounts=amounts))
        took.append(1000 * (time.perf_counter() - began))
        used.append(1000 * (processor_time(process) - before))
    middle, slowest = statistics.median(took[1:]), max(took[1:])
    print(f"a slider's move, median {middle:7.0f} ms (of {moves}, the slowest {slowest:.0f} ms)")
    print(f"processor time of it    {statistics.mean(used[1:]):7.0f} ms")
    return str(prompt)


def watch_memory(address: str, model: str, prompt: str, process: int, requests: int) -> None:
    """Print the memory of the server after each fifth of the requests."""
    dropped = io.BytesIO()
    Image.radial_gradient("L").save(dropped, "PNG")
    kept = next(part["picture"] for part in send(address, "pictures?name=a.png", dropped.getvalue()))
    kinds: list[Callable[[int], Any]] = [
        lambda number: list(ask(address, "draw", model=model, prompt=prompt, n=1, seed=number)),
        lambda number: list(
            ask(
                address,
                "move",
                model=model,
                picture=kept["key"],
                prompt=prompt,
                amounts={"principal 1": number % 40 / 10},
            )
        ),
        lambda number: list(send(address, "pictures?name=a.png", dropped.getvalue())),
        lambda number: list(send(address, "pictures?name=broken.png", NO_PICTURE)),
    ]
    for number in range(requests + 1):
        if number % max(1, requests // 5) == 0:
            print(f"after {number:4} requests     {resident(process):7.0f} MB")
        kinds[number % len(kinds)](number)


def processor_time(process: int) -> float:
    """The seconds that a process has used processors."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(process: int) -> float:
    """The memory of a process, in MB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmRSS:")[2].split()[0]) / 1000


def ask(address: str, action: str, **question: Any) -> Iterator[dict[str, Any]]:
    """Yield the parts of an answer."""
    return send(address, action, json.dumps(question).encode())


def send(address: str, action: str, content: bytes) -> Iterator[dict[str, Any]]:
    """Send some content, and yield the parts of the answer."""
    with urllib.request.urlopen(urllib.request.Request(f"{address}api/{action}", data=content)) as answer:
        for line in answer:
            yield json.loads(line)


def take_pictures(address: str, folder: Path, run: str | None) -> None:
    """Take a picture of each tab, as a student would use it."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1400, "height": 800}, color_scheme="light")
        page.set_default_timeout(300_000)
        page.goto(address)
        page.get_by_role("button", name="ankle boot", exact=True).click()
        page.locator("#draw .code", has_text="ankle boot").wait_for()
        take(page, folder, "draw")
        page.locator("#draw").get_by_role("button", name="Latent").first.click()
        page.locator("#latent .sliders input").first.fill("2")
        page.locator("#latent .main-figure[data-moves='1']").wait_for()
        take(page, folder, "latent")
        page.get_by_role("tab", name="Morph").click()
        page.locator("#morph [name=start]").fill("dress")
        page.locator("#morph [name=end]").fill("bag")
        page.locator("#morph").get_by_role("button", name="Morph", exact=True).click()
        page.get_by_label("Step of the morph").fill("4")
        take(page, folder, "morph")
        page.get_by_role("tab", name="Map").click()
        page.get_by_label("t-SNE").check()
        page.locator("#map .code", has_text="tsne").wait_for()
        page.locator("canvas").press("ArrowRight")
        page.locator(".glance").wait_for()
        page.locator("canvas").press("Enter")
        page.locator("#map [aria-label='Its neighbours'] button").nth(7).wait_for()
        take(page, folder, "map")
        if run:
            page.get_by_role("tab", name="Runs").click()
            page.get_by_role("img", name="Samples").wait_for()
            take(page, folder, "runs")
        chromium.close()


def take(page: Any, folder: Path, tab: str) -> None:
    """Write a picture of the page, with few colours, so that its file is small."""
    page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    file = folder / f"explore-{tab}.png"
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as shot:
        shot.convert("RGB").quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < LARGEST, file
    print(f"{file}  {file.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
