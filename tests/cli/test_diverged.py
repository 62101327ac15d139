"""`cvae train` with a learning rate at which every model diverges: exit code 6, a hint, and the last good epoch."""

import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from conftest import FASHION, Command

SMALL = ["--data-dir", str(FASHION), "--limit", "100", "--epochs", "1", "--batch-size", "16"]
CONSTANT = ["--set", "training.schedule=constant"]
RESIDUAL = ["--set", "architecture.network={kind='residual', width=8, blocks=1}",
            "--set", "architecture.prior={kind='flow', layers=3, width=32}", "--prior", "none"]  # fmt: skip
MAP = ["--set", "architecture.network={kind='residual', width=8, blocks=1, latent='map'}",
       "--set", "architecture.likelihood={kind='gaussian'}", "--latent-dim", "3"]  # fmt: skip
SCORE = ["--prior", "score", "--set", "architecture.prior={kind='score', width=16, blocks=1, steps=3}"]
TOO_FAST = ["--lr", "100"]


@dataclass
class Case:
    """The arguments of a training, and of the training that it needs first."""

    train: list[str]
    before: list[str] | None = None


CASES = {
    "fashion-concat": Case(["fashion-concat", *SMALL, "--latent-dim", "16"]),
    "residual-flow": Case(["fashion", *SMALL, *RESIDUAL]),
    "map-score": Case(["--model", "first", *SCORE, *SMALL], before=["fashion-concat", *SMALL, *MAP]),
}


@pytest.fixture(params=CASES)
def case(request: pytest.FixtureRequest, cvae: Command) -> Case:
    case = CASES[request.param]
    if case.before is not None:
        done = cvae("train", *case.before, "--out", "first")
        assert done.returncode == 0, done.stderr
    return case


def assert_says_so(exit_code: int, stdout: str, stderr: str, run: Path) -> None:
    """Check for one error with one hint below it, and no traceback."""
    assert exit_code == 6
    assert stdout == ""
    assert "Traceback" not in stderr
    lines = stderr.splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith("cvae: ")]
    assert len(errors) == 1
    hint = lines[errors[0] + 1 :]
    assert hint
    assert all(line.startswith("      ") for line in hint)
    assert any(f"cvae train --resume {run}" in line for line in hint)


def hinted_command(stderr: str) -> list[str]:
    line = next(line for line in stderr.splitlines() if line.strip().startswith("cvae train"))
    return shlex.split(line)[1:]


def test_a_model_outlives_a_learning_rate_of_100(case: Case, cvae: Command, tmp_path: Path) -> None:
    done = cvae("train", *case.train, *CONSTANT, "--out", "run")
    assert done.returncode == 0, done.stderr
    files = [Path(name, "model.safetensors") for name in ("run/model", "run/last")]
    files.append(Path("run/state/training.safetensors"))
    before = [(tmp_path / file).read_bytes() for file in files]
    assert cvae("generate", "dress", "--model", "run", "-o", "before.png").returncode == 0

    done = cvae("train", "--resume", "run", "--epochs", "4", *TOO_FAST)
    assert_says_so(done.returncode, done.stdout, done.stderr, Path("run"))
    assert [(tmp_path / file).read_bytes() for file in files] == before
    assert cvae("generate", "dress", "--model", "run", "-o", "after.png").returncode == 0
    assert (tmp_path / "after.png").read_bytes() == (tmp_path / "before.png").read_bytes()

    hinted = hinted_command(done.stderr)
    assert cvae(*hinted, "--dry-run").returncode == 0
    done = cvae(*hinted, "--lr", "1e-3", "--epochs", "2")
    assert (done.returncode, done.stdout) == (0, "run/model\n"), done.stderr


def test_a_training_that_begins_with_a_learning_rate_of_100_can_go_on_with_less(case: Case, cvae: Command) -> None:
    done = cvae("train", *case.train, "--epochs", "3", *TOO_FAST, "--out", "run")
    assert_says_so(done.returncode, done.stdout, done.stderr, Path("run"))
    done = cvae("train", "--resume", "run", "--lr", "1e-3")
    assert (done.returncode, done.stdout) == (0, "run/model\n"), done.stderr
    assert cvae("generate", "dress", "--model", "run", "-o", "out.png").returncode == 0


def test_a_prior_that_diverges_leaves_the_model_before_it(cvae: Command, tmp_path: Path) -> None:
    """One command runs both trainings. `model/` is that of the first training, and `generate` uses it."""
    second = ["--prior", "score", "--set", "then.prior={kind='score', width=16, blocks=1, steps=3}"]
    second += ["--set", "then.training.batch_size=16", "--set", "then.training.epochs=3"]
    done = cvae("train", "fashion-concat", *SMALL, *MAP, *second, "--set", "then.training.learning_rate=100.0",
                "--out", "run")  # fmt: skip
    assert_says_so(done.returncode, done.stdout, done.stderr, Path("run/prior"))
    assert cvae("generate", "dress", "--model", "run", "-o", "first.png").returncode == 0
    done = cvae("train", "--resume", "run/prior", "--lr", "1e-3")
    assert (done.returncode, done.stdout) == (0, "run/prior/model\n"), done.stderr
    assert cvae("generate", "dress", "--model", "run", "-o", "second.png").returncode == 0
    assert (tmp_path / "first.png").read_bytes() != (tmp_path / "second.png").read_bytes()
