"""Without a network: what needs none opens no connection, and what needs one says what is missing."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import FASHION

COUNTED = """
import ctypes, json, os, sys

connects = []


def hook(event, arguments):
    if event == "socket.getaddrinfo" or (event == "socket.connect" and isinstance(arguments[1], tuple)):
        connects.append([event, str(arguments)])


sys.addaudithook(hook)
ctypes.CDLL(None).unshare(0x40000000)  # a network namespace without a route, where this is allowed
from cvae_cli.app import main

sys.argv[0] = "cvae"
try:
    main()
finally:
    with open(os.environ["CONNECTS"], "w") as file:
        json.dump(connects, file)
"""
"""Runs `cvae`, and writes a file with the connections that it has tried to open."""

Counted = Callable[..., tuple["subprocess.CompletedProcess[str]", list[list[str]]]]


@pytest.fixture
def counted(interpreter: str, clean_environment: dict[str, str], tmp_path: Path) -> Counted:
    """A function that runs the command, and returns what it has tried to connect to."""

    def run(*arguments: str | Path, **env: str) -> tuple["subprocess.CompletedProcess[str]", list[list[str]]]:
        file = tmp_path / "connects.json"
        environment = clean_environment | {"HF_HUB_OFFLINE": "0", "CONNECTS": str(file), "HF_HUB_DISABLE_TELEMETRY": ""}
        command = [interpreter, "-c", COUNTED, *map(str, arguments)]
        done = subprocess.run(command, env=environment | env, cwd=tmp_path, capture_output=True, text=True)
        return done, json.loads(file.read_text())

    return run


def test_connections_are_counted(counted: Counted) -> None:
    done, connects = counted("generate", "dress", "--model", "nobody/nothing", CVAE_TIMEOUT="5")
    assert done.returncode == 3
    assert connects


def test_what_needs_no_network_opens_no_connection(counted: Counted, quick_model: Path, run_folder: Path) -> None:
    for arguments in (
        ["generate", "dress", "--model", quick_model, "-o", "dress.png"],
        ["generate", "a beach", "--model", "scenes", "-o", "beach.png"],
        ["reconstruct", "dress.png", "--model", quick_model, "--prompt", "dress", "-o", "pair.png"],
        ["train", "fashion-concat", "--data-dir", FASHION, "--limit", "40", "--epochs", "1", "--out", "run"],
        ["train", "--resume", "run", "--epochs", "2"],
        ["evaluate", "--model", run_folder, "--data-dir", FASHION, "--metric", "mse", "--samples", "8"],
        ["plot", run_folder, "-o", "curves.png"],
        ["latents", "--model", quick_model, "--interpolate", "dress", "bag", "-o", "morph.png"],
        ["models", "list"],
        ["cache", "verify"],
        ["download-weights", "--list"],
    ):
        done, connects = counted(*arguments)
        assert (done.returncode, connects) == (0, []), f"{arguments}: {done.stderr}"


@pytest.mark.parametrize("variable", ["CVAE_OFFLINE", "HF_HUB_OFFLINE"])
def test_what_needs_the_network_says_what_and_how(counted: Counted, variable: str) -> None:
    once, clip = f"{variable} forbids downloading it|run this once with a network", "cvae download-weights clip"
    for arguments, said in (
        (["train", "fashion-concat"], f"train-images-idx3-ubyte.gz|{once}"),
        (["evaluate", "--model", "fashion", "--metric", "mse"], f"t10k-images-idx3-ubyte.gz|{once}"),
        (["download-weights", "inception"], f"https://github.com/toshas|{once}"),
        (["download-weights", "clip"], f"timm/vit_base_patch32_clip_224.openai|{once}"),
        (["generate", "dress", "--model", "nobody/nothing"], f"nobody/nothing|{once}"),
        (["train", "coco-64"], f"605 MB, from timm/vit_base_patch32_clip_224.openai|{clip}"),
        (
            ["evaluate", "--model", "fashion", "--metric", "fid"],
            "(96 MB, from https://github.com/toshas|cvae download-weights inception",
        ),
    ):
        done, connects = counted(*arguments, **{variable: "1"})
        assert (done.returncode, connects) == (3, []), f"{arguments}: {done.stderr}"
        assert [each for each in said.split("|") if each not in done.stderr] == [], done.stderr
