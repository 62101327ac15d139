"""The package as other programs see it: what it exports, what importing it costs, and its types."""

import math
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import cvae_cli
from cvae_cli import CVAE, evaluate
from cvae_cli.bulk.generate import generate_files
from cvae_cli.bulk.grid import generate_grid
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.reconstruct import reconstruct_dataset, reconstruct_files

CLIENT = """
from pathlib import Path

from PIL.Image import Image

from cvae_cli import CVAE, CvaeError, __version__, evaluate, load_dataset, train
from cvae_cli.evaluation.evaluate import Evaluation
from cvae_cli.events import Event, Progress
from cvae_cli.training.train import TrainingResult


def show(event: Event) -> None:
    if isinstance(event, Progress):
        print(event.task, event.done, event.total)


def main() -> None:
    try:
        result: TrainingResult = train("fashion-concat", epochs=1, limit=1000, out="runs/x", callback=show)
    except CvaeError as error:
        raise SystemExit(error.exit_code) from error
    folder: Path = result.run
    model: CVAE = result.load()
    pictures: list[Image] = model.generate("dress", n=2)
    scores: Evaluation = evaluate([model, folder, "fashion"], metrics=["mse", "fid-fashion"], samples=1000)
    mse: float | None = scores.models[0].scores["mse"]
    size: int = len(load_dataset("fashion-mnist", "test"))
    print(__version__, pictures[0].size, mse, size)
"""

MISTAKES = """\
from cvae_cli import CVAE, evaluate, train

train("fashion-concat", epoch=1)
train("fashion-concat", epochs="many")
evaluate(5)
CVAE.from_pretrained("fashion").generate("dress").save("x.png")
"""

# The types of the skipped packages take long, and no line of the clients depends on them.
MYPY = """
[mypy]
strict = true
[mypy-torch.*,numpy.*,huggingface_hub.*,rich.*,filelock.*,pydantic.*,onnx.*,jaxtyping.*]
follow_imports = skip
follow_imports_for_stubs = true
"""


def test_clients_are_type_checked(tmp_path: Path) -> None:
    (tmp_path / "client.py").write_text(CLIENT)
    (tmp_path / "mistakes.py").write_text(MISTAKES)
    (tmp_path / "mypy.ini").write_text(MYPY)
    command = [sys.executable, "-m", "mypy", "--cache-dir", os.devnull]  # to write a cache takes as long as all else
    checked = subprocess.run([*command, "client.py", "mistakes.py"], cwd=tmp_path, capture_output=True, text=True)
    errors = [line.split(":")[:2] for line in checked.stdout.splitlines() if ": error:" in line]
    assert errors == [["mistakes.py", line] for line in ("3", "4", "5", "6")], checked.stdout


@pytest.fixture(scope="module")
def quick(quick_model: Path) -> CVAE:
    """A model of clothes."""
    return CVAE.from_pretrained(quick_model)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda model: model.generate("dress", n=0), "n must be at least 1, not 0"),
        (lambda model: model.generate("dress", seed=-1), "seed must be from 0 to 4294967295, not -1"),
        (lambda model: evaluate(model, metrics="mse", seed=2**32), "seed must be from"),
        (lambda model: evaluate(model, metrics="mse", guidance=math.nan), "guidance must be from 0 to 100, not nan"),
        (lambda model: evaluate(model, metrics="mse", temperature=-1.0), "temperature must be from 0 to 100"),
        (lambda model: evaluate([], metrics="mse"), "there is no model to evaluate"),
        (lambda model: generate_files(model, "dress", "none", n=0), "n must be at least 1"),
        (lambda model: generate_files(model, [], "none"), "there is no prompt"),
        (lambda model: generate_files(model, "dress", "none", temperature=math.inf), "temperature must be from"),
        (lambda model: generate_grid(model, "dress", n=-1), "n must be at least 1"),
        (lambda model: generate_grid(model, "dress", columns=0), "columns must be at least 1, not 0"),
        (lambda model: generate_grid(model, "dress", scale=0), "scale must be from 1 to 64, not 0"),
        (lambda model: generate_files(model, "dress", "none", scale=65), "scale must be from 1 to 64, not 65"),
        (lambda model: generate_grid(model, "dress", resample="cubic"), 'no way to enlarge pictures "cubic"'),
        (lambda model: reconstruct_files(model, []), "there is no picture to reconstruct"),
        (lambda model: reconstruct_dataset(model, "fashion-mnist", n=0), "n must be at least 1"),
    ],
)
def test_python_has_the_bounds_of_the_options(
    call: Callable[[CVAE], Any], says: str, quick: CVAE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=says):
        call(quick)
    assert not list(tmp_path.iterdir())


def test_every_exported_name_is_there() -> None:
    assert {"CVAE", "CvaeError", "evaluate", "load_dataset", "train"} <= set(cvae_cli.__all__)
    for name in cvae_cli.__all__:
        assert getattr(cvae_cli, name) is not None
    assert dir(cvae_cli) == cvae_cli.__all__
    with pytest.raises(AttributeError, match="has no attribute 'Trainer'"):
        cvae_cli.Trainer  # noqa: B018


def test_importing_the_package_imports_nothing_large() -> None:
    code = "import cvae_cli, sys; print(*{'torch', 'numpy', 'pydantic', 'typer', 'rich'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "\n"
