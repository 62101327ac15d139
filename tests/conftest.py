"""Shared fixtures: small real data, a small trained run, and the installed command."""

from pathlib import Path

from jaxtyping import install_import_hook

_SOURCE = Path(__file__).parents[1] / "src"
_CHECKED = ["models", "text", "evaluation", "data", "runtime"]

# Check the shapes in signatures while tests run. This must come before the first import of the package.
install_import_hook(
    [
        ".".join(file.relative_to(_SOURCE).with_suffix("").parts).removesuffix(".__init__")
        for room in _CHECKED
        for file in (_SOURCE / "cvae_cli" / room).rglob("*.py")
        if "jaxtyping" in file.read_text(encoding="utf-8")
    ],
    "beartype.beartype",
)

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # the tests run in parallel
os.fsync = os.fstat  # type: ignore[assignment]  # no test cuts the power, and waiting for the disk takes long

import signal

if (
    signal.getsignal(signal.SIGINT) == signal.SIG_IGN
):  # tests in the background of a shell; no program would hear Ctrl-C
    signal.signal(signal.SIGINT, signal.default_int_handler)

import contextlib
import gc
import py_compile
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import forkserver
import pytest
from filelock import FileLock

DATA = Path(__file__).parent / "data"
FASHION = DATA / "fashion-mnist"

Command = Callable[..., subprocess.CompletedProcess[str]]


def installed_command() -> str:
    """Return the path of the installed `cvae` in the environment that runs the tests."""
    beside = Path(sys.executable).with_name("cvae")
    found = str(beside) if beside.exists() else shutil.which("cvae")
    assert found, "cvae is not installed: pip install -e '.[dev]'"
    return found


@pytest.fixture(scope="session")
def installed() -> str:
    """The path of the installed `cvae`."""
    return installed_command()


@pytest.fixture(scope="session")
def clean_environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An environment with empty caches, no network for the Hub, no colours and a wide terminal."""
    home = tmp_path_factory.mktemp("home")
    return forkserver.clean(os.environ) | {"CVAE_HOME": str(home / "cvae")}


@contextlib.contextmanager
def fork_server(tests: Sequence[str] = ()) -> Iterator[Path]:
    """Start the server of `forkserver.py`, and return a folder with its `cvae` and `python`, which it serves soon.

    With `tests`, the folder has a `worker` as well, a Python that has imported the modules of these tests.
    """
    code = Path(__file__).with_name("forkserver.py")
    with tempfile.TemporaryDirectory(prefix="cvae-") as name:  # a short path, as that of a socket must be
        folder = Path(name)
        compiled = py_compile.compile(str(code), str(folder / "forkserver.pyc"))  # once for all that stand in
        address = folder / "socket"
        programs = {"cvae": (address, "cvae"), "python": (address, "python"), "worker": (f"{address}.tests", "python")}
        for name, order in programs.items():
            words = [sys.executable, "-I", "-S", str(compiled), "run", *map(str, order)]
            (folder / name).write_text(f'#!/bin/sh\nexec {shlex.join(words)} "$@"\n')
            (folder / name).chmod(0o755)
        command = [sys.executable, str(code), "serve", str(address), str(folder / "python"), installed_command()]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        with subprocess.Popen([*command, *tests], env=environment, stdin=subprocess.PIPE) as server:
            assert server.stdin is not None
            yield folder
            server.stdin.close()


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Let `-n auto` start a worker more than there are cores, because some tests wait."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return cores + 1


LONG = ["test_sharing", "test_servers", "test_compile", "test_onnx_file", "test_set_parity", "test_two_machines"]
"""Modules of tests that wait, or that take very long one by one."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long, so that at the end no worker of xdist is left alone with it."""
    items.sort(key=lambda item: item.path.stem not in LONG)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the modules and the tests themselves."""
    gc.collect()
    gc.freeze()


_shared = contextlib.ExitStack()


def _wait_for(file: Path) -> None:
    end = time.monotonic() + 300
    while not file.exists():
        assert time.monotonic() < end, "the server of tests/forkserver.py does not start"
        time.sleep(0.05)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_setupnodes(config: Any, specs: Sequence[Any]) -> None:
    """Start one server for all of xdist's workers, and let them be forks that have imported the tests."""
    config.programs = _shared.enter_context(fork_server(config.args))
    _wait_for(config.programs / "socket.tests")
    for spec in specs:
        spec.python = str(config.programs / "worker")


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    node.workerinput["programs"] = str(node.config.programs)


def pytest_unconfigure() -> None:
    _shared.close()


@pytest.fixture(scope="session")
def programs(request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder with `cvae` and `python`, which start at once: they run in forks of one process (see forkserver.py)."""
    with contextlib.ExitStack() as stack:
        shared = getattr(request.config, "workerinput", {}).get("programs")
        folder = Path(shared) if shared else stack.enter_context(fork_server())
        _wait_for(folder / "socket")
        _wait_for(folder / "socket.large")
        yield folder


@pytest.fixture(scope="session")
def executable(programs: Path) -> str:
    """The path of a `cvae` that does what the installed one does, and starts at once."""
    return str(programs / "cvae")


@pytest.fixture(scope="session")
def interpreter(programs: Path) -> str:
    """The path of a Python interpreter (-c, -m or a script) that has imported torch and the package already."""
    return str(programs / "python")


@pytest.fixture
def cvae(programs: Path, clean_environment: dict[str, str], tmp_path: Path) -> Command:
    """A function that runs the command as a user does, in an empty folder and a separate process (see forkserver.py).

    `cvae("generate", "dress", cwd=..., env={...}, stdin="...")` returns a CompletedProcess. With `binary=True` its
    stdout is bytes.
    """

    def run(
        *arguments: str | Path,
        cwd: Path = tmp_path,
        env: dict[str, str] | None = None,
        stdin: str = "",
        binary: bool = False,
    ) -> subprocess.CompletedProcess[str]:
        argv = [str(programs / "cvae"), *map(str, arguments)]
        environment = {os.fsencode(k): os.fsencode(v) for k, v in (clean_environment | (env or {})).items()}
        with contextlib.ExitStack() as stack:
            files = [stack.enter_context(tempfile.TemporaryFile()) for _ in range(3)]
            files[0].write(stdin.encode())
            for file in files:
                file.seek(0)
            streams = {number: file.fileno() for number, file in enumerate(files)}
            address = str(programs / "socket")
            with forkserver.connect(address, "cvae", argv[1:], environment, str(cwd), streams) as server:
                forkserver.receive(server)
                code = forkserver.receive(server)
            files[1].seek(0)
            files[2].seek(0)
            stdout = files[1].read()
            said = stdout if binary else stdout.decode()
            return subprocess.CompletedProcess(argv, code, said, files[2].read().decode())  # type: ignore[arg-type]

    return run


@pytest.fixture(scope="session")
def run_folder(programs: Path, clean_environment: dict[str, str]) -> Path:
    """The folder of a run of `cvae train`: the article's network, two epochs on 300 pictures.

    All workers of xdist share it, so no test may change it.
    """
    folder = programs / "runs" / "small"
    arguments = ["train", "fashion-concat", "--data-dir", str(FASHION), "--limit", "300", "--epochs", "2"]
    command = [str(programs / "cvae"), *arguments, "--out", str(folder)]
    with FileLock(programs / "runs.lock"):
        if not (programs / "runs").exists():
            done = subprocess.run(command, env=clean_environment, capture_output=True, text=True)
            assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def quick_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained model that has the classes and the name of the bundled `fashion`, and samples 15 times as fast."""
    from helpers import small_model

    folder = tmp_path_factory.mktemp("models") / "quick"
    model = small_model("dense-concat")
    model.config = model.config.model_copy(update={"name": "fashion"})
    model.save_pretrained(folder)
    return folder


@pytest.fixture
def model_folder(run_folder: Path, tmp_path: Path) -> Path:
    """A copy of a small trained model, which the test may change."""
    return Path(shutil.copytree(run_folder / "model", tmp_path / "model-copy"))


@pytest.fixture
def no_grids(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let trainings save no grids of samples: to draw and compress one takes as long as an epoch of a small model."""
    from cvae_cli.paths import write_bytes
    from cvae_cli.training import trainer

    monkeypatch.setattr(trainer, "save_sample_grid", lambda model, pictures, path: write_bytes(path, b""))


@pytest.fixture
def browse() -> Callable[[str], contextlib.AbstractContextManager[Any]]:
    """A function that opens an address in a real browser, and gives Playwright's page to a `with` block.

    At its end the page must have reported no error, and must have asked for nothing of another address.
    """
    browser = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if browser is None:
        pytest.skip("there is no browser: apt-get install chromium")
    from playwright.sync_api import sync_playwright

    @contextlib.contextmanager
    def opened(address: str) -> Iterator[Any]:
        said: list[str] = []
        asked: list[str] = []
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            context = chromium.new_context(permissions=["clipboard-read", "clipboard-write"])
            page = context.new_page()
            page.set_default_timeout(120_000)  # a busy machine is slow
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            page.on("request", lambda request: asked.append(request.url))
            page.goto(address)
            yield page
            chromium.close()
        assert said == []
        assert [url for url in asked if not url.startswith((address, "data:"))] == []

    return opened
