"""The imports of each command, and the lazy imports of the library."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Command
from helpers import small_model

LIGHT = """
import sys
from runpy import run_module
for arguments in ([], ["--help"], ["--version"], ["generate", "--help"], ["train", "--list"]):
    sys.argv = ["cvae", *arguments]
    try:
        run_module("cvae_cli", run_name="__main__")
    except SystemExit as stop:
        assert not stop.code, arguments
    print("so far:", *sys.modules)
"""


def test_light_commands_import_nothing_heavy(clean_environment: dict[str, str], tmp_path: Path) -> None:
    command = [sys.executable, "-c", LIGHT]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    _, *imported = done.stdout.split("so far:")
    assert len(imported) == 5
    heavy = {"torch", "torchvision", "torchmetrics", "open_clip", "numpy", "PIL", "huggingface_hub"}
    assert {name.split(".")[0] for name in " ".join(imported).split()} & heavy == set()


DRAW = """
import json, sys
from cvae_cli.app import app
for arguments in json.loads(sys.argv[1]):
    app(arguments, standalone_mode=False)
print(*sys.modules)
"""
WATCH = """
import resource, subprocess, sys
subprocess.run([sys.executable, *sys.argv[1:]], check=True)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
"""


def test_generate_imports_little_and_takes_little_memory(
    quick_model: Path, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """With a model of classes, and with one of captions."""
    small_model("captioned-map-score").save_pretrained(tmp_path / "captions")
    calls = [
        ["generate", "dress", "--model", str(quick_model), "-o", "class.png"],
        ["generate", "two 🐕 on a 🏖️", "-n", "16", "--model", "captions", "-o", "captions.png"],
    ]
    # Linux counts the memory of the parent at the fork as the child's peak, so a small process must start it
    watched = [sys.executable, "-c", WATCH, "-c", DRAW, json.dumps(calls)]
    done = subprocess.run(watched, env=clean_environment, cwd=tmp_path, capture_output=True, text=True, check=True)
    names, peak = done.stdout.splitlines()
    modules = {name.split(".")[0] for name in names.split()}
    assert {"torch", "PIL", "tokenizers"} <= modules
    heavy = {"torchvision", "torchmetrics", "open_clip", "timm", "huggingface_hub", "scipy", "matplotlib", "sklearn"}
    heavy |= {"sentencex", "ftfy", "transformers"}
    assert modules & heavy == set()
    assert int(peak) * (1 if sys.platform == "darwin" else 1024) < 1.2e9
    assert {path.name for path in tmp_path.glob("*.png")} == {"class.png", "captions.png"}


def test_wrong_names_are_said_without_torch(clean_environment: dict[str, str], tmp_path: Path) -> None:
    calls = [
        ["evaluate", "--metric", "nonsense"],
        ["evaluate", "--metric", "nonsense", "--gpus", "2", "--device", "cpu"],
        ["evaluate", "--model", "nonsense"],
        ["evaluate", "--dataset", "nonsense"],
        ["train", "nonsense"],
        ["train", "nonsense", "--gpus", "2", "--device", "cpu"],
        ["train", "fashion", "--data", "nonsense"],
        ["train", "fashion", "--condition", "nonsense"],
        ["train", "fashion", "--prior", "nonsense"],
        ["train", "fashion", "--precision", "nonsense"],
        ["train", "fashion", "--set", "nonsense=1"],
        ["train", "--resume", "nonsense"],
        ["train", "--prior", "flow", "--model", "nonsense"],
        ["generate", "dress", "--model", "nonsense"],
        ["generate", "dress", "--model", "nonsense", "--format", "png", "-o", "x", "--gpus", "2", "--device", "cpu"],
        ["reconstruct", "--dataset", "nonsense"],
        ["reconstruct", "x.png", "--model", "nonsense"],
        ["download-weights", "nonsense"],
    ]
    code = f"""
import sys
sys.modules["torch"] = None  # importing it is an error
from cvae_cli.app import app
from cvae_cli.errors import UsageError
for call in {calls}:
    try:
        app(call, standalone_mode=False)
    except UsageError as error:
        print(error.message)
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean_environment, cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    messages = done.stdout.splitlines()
    assert len(messages) == len(calls)
    assert all("nonsense" in message for message in messages)


def test_package_refuses_unknown_names() -> None:
    import cvae_cli

    with pytest.raises(AttributeError, match="nonsense"):
        cvae_cli.nonsense  # noqa: B018


def test_no_command_shows_where_to_begin(cvae: Command) -> None:
    done = cvae()
    assert done.returncode == 0
    assert "cvae generate" in done.stdout


def test_help_lists_the_exit_codes(cvae: Command) -> None:
    done = cvae("--help")
    for code in (0, 1, 2, 3, 4, 5, 6, 130):
        assert f"{code:>5}  " in done.stdout


def test_version(cvae: Command) -> None:
    from cvae_cli.version import __version__

    assert cvae("--version").stdout == f"cvae {__version__}\n"
