"""Several real processes share a training, started by torchrun or by `--gpus`."""

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest
from conftest import FASHION, Command

TRAIN = ["fashion-concat", "--data-dir", str(FASHION), "--batch-size", "32", "--epochs", "2", "--limit", "300",
         "--precision", "fp32"]  # fmt: skip
DENSE = ["--set", "architecture.network={kind='dense', width=32, layers=1}", "--latent-dim", "4"]
TWO = ["--gpus", "2", "--device", "cpu"]
FEATURES = """
import torch

def maps(images):
    few = torch.nn.functional.avg_pool2d(images[:, :2], 4)
    return [torch.cat([few, 1.5 - few], 1)]
"""
STAGES = """
name = "stages"
data = { name = "fashion-mnist", flip = true }
[architecture]
conditioning = "concat"
network = { kind = "residual", width = 8, blocks = 1, latent = "map" }
likelihood = { kind = "gaussian" }
latent_dim = 3
[training]
epochs = 2
ema_decay = 0.9
features = "own_maps:maps"
perceptual = 0.5
[[then]]
tune = "decoder"
training = { epochs = 1, batch_size = 32, features = "own_maps:maps", perceptual = 0.5 }
[[then]]
prior = { kind = "score", width = 16, blocks = 1, condition_width = 8, steps = 3 }
training = { epochs = 2, batch_size = 32 }
[[then]]
tune = "guidance"
training = { epochs = 1, batch_size = 32 }
"""


def curve(run: Path) -> list[float]:
    """Return the metrics of each epoch."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [value for line in lines for part in ("train", "valid") for value in line[part].values()]


@pytest.mark.parametrize("has_stages", [False, True], ids=["article", "stages and features"])
def test_two_processes_learn_what_one_learns(cvae: Command, tmp_path: Path, has_stages: bool) -> None:
    (tmp_path / "own_maps.py").write_text(FEATURES)
    (tmp_path / "stages.toml").write_text(STAGES)
    train = ["train", "stages.toml" if has_stages else TRAIN[0], *TRAIN[1:], "--limit", "75"]
    one, two = tmp_path / "one", tmp_path / "two"
    assert cvae(*train, "--out", one).returncode == 0
    done = cvae(*train, "--out", two, *TWO)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert len(re.findall("epoch +2/2 .* valid", done.stderr)) == 1 + has_stages
    assert curve(two) == pytest.approx(curve(one), rel=1e-4)
    for stage in ("decoder", "decoder/prior", "decoder/prior/guidance") if has_stages else ():
        assert curve(two / stage) == pytest.approx(curve(one / stage), rel=1e-3)
    assert cvae("generate", "dress", "--model", two, "-o", "dress.png").returncode == 0


def last_process(output: Path) -> int:
    """Return the last of the processes that share the work on this output."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            environment = (folder / "environ").read_bytes().split(b"\0")
            arguments = (folder / "cmdline").read_bytes().split(b"\0")
            if b"LOCAL_RANK=1" in environment and str(output).encode() in arguments:
                return int(folder.name)
    raise AssertionError(f"nobody works on {output}")


def started(executable: str, environment: dict[str, str], run: Path) -> subprocess.Popen[str]:
    """A long training with two processes that has saved its first epoch."""
    command = [executable, "train", *TRAIN, *DENSE, "--epochs", "12", "--out", str(run), *TWO]
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)
    while not (run / "metrics.jsonl").exists():
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.01)
    return process


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="asks Linux which processes there are")
def test_a_process_that_dies_is_started_again_and_all_go_on(
    executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(executable, clean_environment, run) as process:
        os.kill(last_process(run), signal.SIGKILL)
        assert process.wait(timeout=300) == 0
    epochs = [json.loads(line)["epoch"] for line in (run / "metrics.jsonl").read_text().splitlines()]
    assert epochs == list(range(1, 13))


def test_a_hangup_saves_and_one_process_can_go_on(
    executable: str, clean_environment: dict[str, str], cvae: Command, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    with started(executable, clean_environment, run) as process:
        process.send_signal(signal.SIGHUP)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 130
    assert stderr.count(f"cvae train --resume {run}") == 1
    assert "torch" not in stderr
    assert "Traceback" not in stderr
    assert cvae("train", "--resume", run).returncode == 0
    assert len((run / "metrics.jsonl").read_text().splitlines()) == 12


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["--batch-size", "33"], 2, "a batch of 33 cannot be divided among 2 processes"),
        (["--lr", "100"], 6, "the loss "),
        (["--data-dir", "nowhere"], 3, "nowhere"),
    ],
)
def test_what_is_wrong_is_said_once(cvae: Command, arguments: list[str], code: int, says: str) -> None:
    done = cvae("train", *TRAIN, *DENSE, *arguments, *TWO)
    assert done.returncode == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("cvae: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.stderr


def test_more_gpus_than_there_are_are_refused(cvae: Command) -> None:
    done = cvae("train", *TRAIN, "--gpus", "99")
    assert done.returncode == 2
    assert done.stderr.startswith("cvae: --gpus 99: this machine has ")


def test_torchrun_does_the_same(interpreter: str, clean_environment: dict[str, str], tmp_path: Path) -> None:
    torchrun = [interpreter, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command = [*torchrun, "-m", "cvae_cli", "train", *TRAIN, *DENSE, "--epochs", "1", "--device", "cpu"]
    command += ["--out", str(tmp_path / "run")]
    done = subprocess.run(command, env=clean_environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"{tmp_path / 'run' / 'model'}\n"


def drawn(folder: Path) -> dict[str, bytes]:
    """Return the files in a folder, except hidden files."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.startswith(".")}


@pytest.mark.parametrize(("format", "n"), [("png", 2), ("webdataset", 3)])
def test_two_processes_draw_what_one_draws(
    cvae: Command, quick_model: Path, tmp_path: Path, format: str, n: int
) -> None:
    lines = [json.dumps({"prompt": f"a dress, number {number % 250}"}) for number in range(350)]  # some twice
    (tmp_path / "prompts.jsonl").write_text("\n".join(lines))
    arguments = ["generate", "sneaker", "--model", quick_model, "--from", "prompts.jsonl", "-n", str(n), "--json"]
    arguments += ["--format", format, "-o"]
    assert cvae(*arguments, "one").returncode == 0
    done = cvae(*arguments, "two", *TWO)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pictures"] == 351 * n
    assert "Traceback" not in done.stderr
    assert drawn(tmp_path / "two") == drawn(tmp_path / "one")
    again = cvae(*arguments, "two", *TWO)
    assert again.returncode == 0
    assert again.stderr.splitlines()[-1] == f"all {351 * n:,} pictures are in two already"


@pytest.fixture(scope="module")
def many(quick_model: Path) -> list[str]:
    """The arguments, without the folder, that draw 1,600 pictures."""
    return ["generate", "dress", "bag", "--model", str(quick_model), "-n", "800", "--format", "png", "-o"]


@pytest.fixture(scope="module")
def drawn_at_once(
    executable: str, clean_environment: dict[str, str], many: list[str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, bytes]:
    """The 1,600 pictures of one process that is not stopped."""
    folder = tmp_path_factory.mktemp("at-once") / "one"
    subprocess.run([executable, *many, str(folder)], env=clean_environment, capture_output=True, check=True)
    return drawn(folder)


@pytest.mark.skipif(not os.path.exists("/proc/self/environ"), reason="asks Linux which processes there are")
@pytest.mark.parametrize("stop", [signal.SIGKILL, signal.SIGINT])
def test_drawing_goes_on_where_it_was_stopped(
    executable: str,
    clean_environment: dict[str, str],
    cvae: Command,
    many: list[str],
    drawn_at_once: dict[str, bytes],
    tmp_path: Path,
    stop: signal.Signals,
) -> None:
    folder = tmp_path / "two"
    process = subprocess.Popen(
        [executable, *many, str(folder), *TWO], env=clean_environment, stderr=subprocess.PIPE, text=True
    )
    with process:
        while len(list(folder.glob("*.png"))) < 1050:  # in the second round
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.05)
        finished = (folder / "manifest.jsonl").read_text()
        if stop == signal.SIGKILL:
            os.kill(last_process(folder), stop)
            assert process.wait(timeout=300) == 0  # all processes were restarted
        else:
            process.send_signal(stop)
            _, stderr = process.communicate(timeout=300)
            assert process.returncode == 130
            assert "Traceback" not in stderr
            assert re.search(r"stopped after [\d,]+ of 1,600 pictures; run the same command again to continue", stderr)
            assert cvae(*many, folder).returncode == 0  # one process
    assert (folder / "manifest.jsonl").read_text().startswith(finished)
    assert drawn(folder) == drawn_at_once


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["bag"], 2, "several processes can only draw into a folder"),
        (["--from", "-", "--format", "png", "-o", "x"], 2, "several processes cannot read one stdin"),
        (["bag", "--from", "last.txt", "--format", "png", "-o", "x"], 2, "last.txt, line 600: "),
        (["bag", "--from", "nowhere", "--format", "png", "-o", "x"], 3, "nowhere"),
    ],
)
def test_what_cannot_be_drawn_is_said_once(
    cvae: Command, quick_model: Path, tmp_path: Path, arguments: list[str], code: int, says: str
) -> None:
    (tmp_path / "last.txt").write_text("dress\n" * 599 + "volcano\n")
    done = cvae("generate", "--model", quick_model, *arguments, *TWO)
    assert done.returncode == code
    errors = [line for line in done.stderr.splitlines() if line.startswith("cvae: ")]
    assert len(errors) == 1
    assert says in errors[0]
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "x").exists()


def test_two_processes_measure_what_one_measures(cvae: Command, run_folder: Path) -> None:
    metrics = ["mse", "ssim", "elbo", "active-units", "iwae", "accuracy", "fid-fashion", "recall", "coverage"]
    arguments = ["evaluate", "--model", run_folder, "--data-dir", FASHION, "--samples", "151", "--k", "2", "--json"]
    arguments += [part for metric in metrics for part in ("--metric", metric)]
    one, two = (json.loads(cvae(*arguments, *more).stdout)["models"][0]["scores"] for more in ([], TWO))
    assert list(one) == metrics
    assert two == pytest.approx(one, rel=1e-6)
