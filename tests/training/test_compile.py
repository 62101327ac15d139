"""Training with torch.compile. It runs the command, because the shape checks of the tests cannot be compiled."""

import json
import os
import shutil
from pathlib import Path

import pytest
from conftest import FASHION, Command

TRAIN = ["train", "fashion-fast", "--data-dir", str(FASHION), "--limit", "100", "--epochs", "2", "--precision", "fp32"]
TRAIN += ["--batch-size", "32", "--lr", "1e-4", "--set", "architecture.network={kind='dense', width=32, layers=1}"]
TRAIN += ["--set", "architecture.prior={kind='standard'}"]
COMPILED = ["--set", "training.compile=true"]
CHEAP = {"ATEN_CPU_CAPABILITY": "default", "TORCHINDUCTOR_VEC_ISA_OK": "1", "TORCHINDUCTOR_COMPILE_THREADS": "1"}
"""Settings of PyTorch: no vector instructions, whose code takes a compiler twice as long, and no process that helps."""
NEEDS_COMPILER = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="torch.compile needs a C++ compiler on a CPU"
)


@NEEDS_COMPILER
def test_compiled_steps_learn_the_same_and_a_damaged_cache_is_told(cvae: Command, tmp_path: Path) -> None:
    cache = tmp_path / "compiled"  # of its own: whatever other programs have compiled, they do not disturb
    own = {"TORCHINDUCTOR_CACHE_DIR": str(cache)} | CHEAP
    bounds = {}
    for name, more in {"plain": [], "compiled": COMPILED}.items():
        done = cvae(*TRAIN, *more, "--out", name, env=own)
        assert done.returncode == 0, done.stderr
        lines = (tmp_path / name / "metrics.jsonl").read_text().splitlines()
        bounds[name] = [json.loads(line)["valid"]["negative_elbo"] for line in lines]
    assert bounds["compiled"] == pytest.approx(bounds["plain"], rel=1e-3)
    assert bounds["compiled"] != bounds["plain"]  # compiled code rounds differently

    libraries = list(cache.rglob("*.main.so"))
    assert libraries
    for library in libraries:
        os.truncate(library, 100)
    done = cvae(*TRAIN, *COMPILED, "--out", "damaged", env=own)
    assert (done.returncode, done.stdout) == (2, "")
    assert "cvae: torch.compile failed: ImportError: " in done.stderr
    assert "--set training.compile=false" in done.stderr
    assert f"or remove what was compiled before, which may be damaged:  {cache}" in done.stderr


def test_without_a_compiler_it_says_so(cvae: Command, tmp_path: Path) -> None:
    nowhere = {"PATH": "/nowhere", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path / "nothing-compiled-yet")}
    done = cvae(*TRAIN, *COMPILED, env=nowhere)
    assert done.returncode == 2
    assert "torch.compile failed: InvalidCxxCompiler" in done.stderr
    assert "--set training.compile=false" in done.stderr
    assert "Traceback" not in done.stderr
