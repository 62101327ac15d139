"""`cvae train` as a user runs it: killed, interrupted, resumed."""

import fcntl
import json
import os
import pty
import resource
import signal
import subprocess
import termios
import threading
import time
from contextlib import suppress
from pathlib import Path

import pytest
from conftest import FASHION, Command
from forkserver import KILL
from PIL import Image

from cvae_cli.training.events import duration

ARTICLE = ["train", "fashion-concat", "--data-dir", str(FASHION), "--batch-size", "4", "--epochs", "4"]
DENSE = ["--set", "architecture.network={kind='dense', width=32, layers=1}", "--latent-dim", "4"]
TRAIN = [*ARTICLE, *DENSE, "--limit", "160"]
"""Many fast steps: long enough to be stopped within it."""


@pytest.fixture(scope="module")
def uninterrupted(executable: str, clean_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("whole") / "run"
    subprocess.run([executable, *TRAIN, "--out", str(folder)], env=clean_environment, check=True, capture_output=True)
    return folder


def weights(run: Path) -> list[bytes]:
    return [(run / folder / "model.safetensors").read_bytes() for folder in ("model", "last")]


def wait_for(path: Path, process: subprocess.Popen[bytes]) -> None:
    while not path.exists():
        assert process.poll() is None, "the training ended before it was to be stopped"
        time.sleep(0.005)


def read_all(descriptor: int) -> None:
    """Read what a terminal shows until it is closed."""
    with suppress(OSError):
        while os.read(descriptor, 1 << 16):
            pass


def test_killed_training_resumes_to_the_same_bits(
    executable: str, clean_environment: dict[str, str], uninterrupted: Path, cvae: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    command = [executable, *TRAIN, "--out", str(run)]
    # critical moments: before the first step; models saved but not their state, in the first epoch and later
    for moment in ("state/training.safetensors", "last/model.safetensors", "samples/epoch-002.png"):
        with subprocess.Popen(command, env=clean_environment, stderr=subprocess.DEVNULL) as process:
            wait_for(run / moment, process)
            process.send_signal(KILL)
        command = [executable, "train", "--resume", str(run)]
    done = cvae("train", "--resume", run)
    assert done.returncode == 0, done.stderr
    assert weights(run) == weights(uninterrupted)
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4]
    assert not list(run.rglob("*.tmp"))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_training_saves_says_where_and_exits_130(
    executable: str,
    clean_environment: dict[str, str],
    uninterrupted: Path,
    cvae: Command,
    tmp_path: Path,
    number: signal.Signals,
) -> None:
    run = tmp_path / "run"
    with subprocess.Popen(
        [executable, *TRAIN, "--out", str(run)], env=clean_environment, stderr=subprocess.PIPE, text=True
    ) as process:
        wait_for(run / "metrics.jsonl", process)
        process.send_signal(number)
        assert process.stderr is not None
        stderr = process.stderr.read()
    assert process.returncode == 130
    assert f"cvae train --resume {run}" in stderr
    assert "Traceback" not in stderr
    done = cvae("train", "--resume", run, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["last"]["epoch"] == 4
    assert weights(run) == weights(uninterrupted)


def test_a_terminal_that_is_closed_stops_a_training_and_loses_nothing(
    executable: str, clean_environment: dict[str, str], uninterrupted: Path, cvae: Command, tmp_path: Path
) -> None:
    def take_terminal() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    run = tmp_path / "run"
    terminal, its_end = pty.openpty()
    command = [executable, *TRAIN, "--out", str(run)]
    streams = {"stdin": its_end, "stdout": its_end, "stderr": its_end}
    environment = clean_environment | {"TERM": "xterm"}
    with subprocess.Popen(command, env=environment, preexec_fn=take_terminal, **streams) as process:
        os.close(its_end)
        reader = threading.Thread(target=lambda: read_all(terminal), daemon=True)
        reader.start()
        wait_for(run / "metrics.jsonl", process)
        os.dup2(os.open(os.devnull, os.O_RDONLY), terminal)  # closes the terminal: SIGHUP, and nothing can be written
        assert process.wait(timeout=300) == 130
    finished = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert finished[-1] < 4
    assert cvae("train", "--resume", run).returncode == 0
    assert weights(run) == weights(uninterrupted)


def test_full_disk_is_said_and_leaves_nothing_half_written(
    executable: str, clean_environment: dict[str, str], cvae: Command, tmp_path: Path
) -> None:
    def no_file_beyond_six_megabytes() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (6_000_000, 6_000_000))

    run = tmp_path / "run"
    done = subprocess.run(
        [executable, *ARTICLE, "--limit", "40", "--out", str(run)],
        env=clean_environment,
        preexec_fn=no_file_beyond_six_megabytes,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    said = f"cvae: file too large: {run / 'state' / 'training.safetensors'}"  # the model fits, its state does not
    assert said in done.stderr.splitlines()
    assert not list(run.rglob("*.tmp"))
    assert cvae("generate", "dress", "--model", run, "-o", "out.png").returncode == 0


def test_finished_run_goes_on_with_more_epochs(cvae: Command, run_folder: Path, tmp_path: Path) -> None:
    import shutil

    run = shutil.copytree(run_folder, tmp_path / "run")
    before = weights(run)
    assert cvae("train", "--resume", run).returncode == 0
    assert weights(run) == before
    assert cvae("train", "--resume", run, "--epochs", "3").returncode == 0
    assert weights(run)[1] != before[1]


def test_dry_run_shows_the_settings_and_touches_nothing(cvae: Command, tmp_path: Path) -> None:
    done = cvae(*TRAIN, "--set", "training.ema_decay=0.99", "--dry-run")
    assert done.returncode == 0
    assert "ema_decay = 0.99" in done.stdout
    assert "would learn fashion-mnist in runs/fashion-concat" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_list_names_the_recipes(cvae: Command) -> None:
    done = cvae("train", "--list")
    assert [line.split("\t")[0] for line in done.stdout.splitlines()][:3] == ["coco-64", "coco-64-add", "coco-128"]


def test_settings_reach_the_run(run_folder: Path) -> None:
    recipe = (run_folder / "recipe.toml").read_text()
    assert "epochs = 2" in recipe
    assert "limit = 300" in recipe
    card = (run_folder / "model" / "README.md").read_text()
    assert "270 training pictures" in card  # a tenth are validation pictures


def test_the_card_has_the_time_of_all_its_epochs(run_folder: Path) -> None:
    *_, last = (json.loads(line) for line in (run_folder / "metrics.jsonl").read_text().splitlines())
    assert last["seconds"] > 0.1
    card = (run_folder / "last" / "README.md").read_text()
    assert f"epoch 2 of 2, {last['step']} steps of 128, {duration(last['seconds'])}" in card


def test_resume_refuses_other_settings(cvae: Command, run_folder: Path) -> None:
    done = cvae("train", "--resume", run_folder, "--batch-size", "64")
    assert done.returncode == 2
    assert "as it was started" in done.stderr


def test_a_prior_is_fitted_afterwards_and_guides(cvae: Command, tmp_path: Path) -> None:
    small = ["--set", "then.prior.width=16", "--set", "then.prior.blocks=1", "--set", "then.training.epochs=2"]
    small += ["--set", "then.training.batch_size=8", "--set", "then.training.ema_decay=0"]
    start = ["train", "fashion-concat", "--data-dir", FASHION, "--limit", "100", "--epochs", "1", *DENSE]
    done = cvae(*start, "--prior", "score", *small, "--out", "both")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "both/prior/model\n"
    cvae("generate", "dress", "--model", "both", "-o", "one.png")
    cvae("generate", "dress", "--model", "both", "--guidance", "3", "-o", "three.png")
    assert (tmp_path / "one.png").read_bytes() != (tmp_path / "three.png").read_bytes()
    with Image.open(tmp_path / "three.png") as picture:
        assert picture.text["guidance"] == "3.0"
    again = cvae("train", "--resume", "both")  # the run is complete
    assert (again.returncode, again.stdout) == (0, "both/prior/model\n")

    later = cvae("train", "--model", "both/model", "--prior", "flow", "--data-dir", FASHION, "--epochs", "1",
                 "--limit", "100", "--set", "architecture.prior.layers=2", "--out", "later")  # fmt: skip
    assert later.returncode == 0, later.stderr
    refused = cvae("generate", "dress", "--model", "later", "--guidance", "2", "-o", "no.png")
    assert (refused.returncode, (tmp_path / "no.png").exists()) == (2, False)
    assert "guidance needs a prior of the kind score" in refused.stderr
    scores = json.loads(cvae("evaluate", "--model", "both", "--data-dir", FASHION, "--samples", "50", "--json").stdout)
    assert scores["models"][0]["scores"]["rate"] > 0
    assert cvae("evaluate", "--model", "both", "--data-dir", FASHION, "--metric", "iwae").returncode == 2
    k = cvae("evaluate", "--model", "later", "--data-dir", FASHION, "--metric", "elbo", "--metric", "iwae", "--k", "8",
             "--samples", "50")  # fmt: skip
    elbo, iwae = (float(line.split("\t")[1]) for line in k.stdout.splitlines())
    assert iwae < 1.01 * elbo  # both are estimates
