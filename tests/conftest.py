"""What the tests share: small real data, a small trained run, and the installed command."""

from jaxtyping import install_import_hook

# Shapes in signatures are checked while tests run; must come before the first import of the package.
install_import_hook(
    ["cvae_cli.models", "cvae_cli.text", "cvae_cli.evaluation", "cvae_cli.data", "cvae_cli.randomness"],
    "beartype.beartype",
)

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run side by side

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

DATA = Path(__file__).parent / "data"
FASHION = DATA / "fashion-mnist"

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def executable() -> str:
    """The installed `cvae`, of the environment that runs the tests."""
    beside = Path(sys.executable).with_name("cvae")
    found = str(beside) if beside.exists() else shutil.which("cvae")
    assert found, "cvae is not installed: pip install -e '.[dev]'"
    return found


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with empty caches, no network for the Hub, no colours and a wide terminal."""
    home = tmp_path_factory.mktemp("home")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("CVAE_", "HF_", "FORCE_"))}
    return kept | {
        "CVAE_HOME": str(home / "cvae"),
        "HF_HOME": str(home / "hf"),
        "HF_HUB_OFFLINE": "1",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "COLUMNS": "200",
        "OMP_NUM_THREADS": "1",
    }


@pytest.fixture
def cvae(executable: str, clean_environment: dict[str, str], tmp_path: Path) -> Command:
    """Run the installed command as a user would, in an empty folder.

    `cvae("generate", "dress", cwd=..., env={...}, stdin="...")` gives a CompletedProcess; with `binary=True` its
    stdout is bytes.
    """

    def run(
        *arguments: str | Path,
        cwd: Path = tmp_path,
        env: dict[str, str] | None = None,
        stdin: str = "",
        binary: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [executable, *map(str, arguments)],
            cwd=cwd,
            env=clean_environment | (env or {}),
            input=stdin.encode(),
            capture_output=True,
            timeout=300,
        )
        stdout = done.stdout if binary else done.stdout.decode()
        return subprocess.CompletedProcess(done.args, done.returncode, stdout, done.stderr.decode())  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def run_folder(executable: str, clean_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that `cvae train` has made: the article's network, two epochs on 300 pictures."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    arguments = ["train", "fashion-concat", "--data-dir", str(FASHION), "--limit", "300", "--epochs", "2"]
    done = subprocess.run(
        [executable, *arguments, "--out", str(folder)], env=clean_environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture
def model_folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of a small trained model, to do anything to."""
    return Path(shutil.copytree(run_folder / "model", tmp_path / "model-copy"))
