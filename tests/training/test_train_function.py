"""`train`: a whole training from Python, in this process, in scripts, in an interactive session and under torchrun."""

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import FASHION
from PIL import Image

from cvae_cli.errors import UsageError
from cvae_cli.events import Event, Progress
from cvae_cli.training.events import EpochEnd, TrainingStart
from cvae_cli.training.plan import plan_training
from cvae_cli.training.run import Run
from cvae_cli.training.train import train

FEW: dict[str, Any] = {"data_dir": FASHION, "limit": 300}
SMALL = {"architecture.network.width": 16, "architecture.network.blocks": 1, "data.epoch_size": 1}
SESSION = """
import code, sys, types
main = sys.modules["__main__"] = types.ModuleType("__main__")  # which has no file, as in a session
sys.argv, sys.ps1 = [""], ""
code.interact(banner="", local=vars(main), exitmsg="")
"""
"""An interactive session that reads its lines from stdin."""
SCORE = {"then.prior.width": 16, "then.prior.blocks": 1, "then.training.epochs": 1, "then.training.batch_size": 32}


def weights(run: Path) -> list[bytes]:
    return [(run / folder / "model.safetensors").read_bytes() for folder in ("model", "last")]


def make_folder(folder: Path, n: int) -> Path:
    """Write `n` small pictures of two classes."""
    random = np.random.default_rng(0)
    for number in range(n):
        path = folder / ("bright" if number % 2 else "dark") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.integers(128 * (number % 2), 128 + 127 * (number % 2), (16, 16, 3), np.uint8)).save(path)
    return folder


def run_script(
    text: str, environment: dict[str, str], folder: Path, interpreter: str, *before: str
) -> subprocess.Popen[str]:
    """Start a script, or with `before` a program that runs scripts."""
    script = folder / "script.py"
    script.write_text(text)
    pipe = subprocess.PIPE
    command = [interpreter, *before, str(script)]
    return subprocess.Popen(command, cwd=folder, env=environment, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


# ---- in this process -------------------------------------------------------------------------------------------


def test_train_gives_the_weights_of_the_command_and_resume_continues(run_folder: Path, tmp_path: Path) -> None:
    events: list[Event] = []
    recipe = Run(run_folder).recipe()
    common = {**FEW, "out": tmp_path / "run", "precision": recipe.training.precision}
    result = train("fashion-concat", epochs=1, **common, callback=events.append)

    start = next(event for event in events if isinstance(event, TrainingStart))
    assert str(start).splitlines() == [
        "fashion-concat: learns from 270 pictures of fashion-mnist, validates on 30",
        "  1 epoch: one pass over the pictures in 2 steps",
        f"  1.0 M parameters, 9 MFLOP a picture; {common['precision']} on cpu",
        f"  run: {tmp_path / 'run'}",
    ]
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert [event.epoch for event in ends] == [1]
    assert result.run == tmp_path / "run"
    assert result.model == tmp_path / "run" / "model"
    assert result.recipe.training.epochs == 1
    assert result.best_negative_elbo == ends[0].validation_negative_elbo
    assert [metrics["epoch"] for metrics in result.history] == [1]
    assert result.load().generate("dress")[0].size == (28, 28)

    resumed = train(resume=tmp_path / "run", epochs=2)
    assert weights(resumed.run) == weights(run_folder)
    assert [metrics["epoch"] for metrics in resumed.history] == [1, 2]
    lines = (run_folder / "metrics.jsonl").read_text().splitlines()
    bounds = [json.loads(line)["valid"]["negative_elbo"] for line in lines]
    assert [metrics["valid"]["negative_elbo"] for metrics in resumed.history] == bounds
    assert resumed.best_negative_elbo == min(bounds)


def test_a_prior_is_fitted_in_a_second_stage_or_to_a_finished_model(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    events: list[Event] = []
    settings: dict[str, Any] = {**FEW, "limit": 40, "precision": "fp32", "epochs": 1}
    both = train(
        "fashion-concat", **settings, prior="score", settings=SCORE, out=tmp_path / "both", callback=events.append
    )
    assert both.model == tmp_path / "both" / "prior" / "model"
    assert both.load().config.architecture.prior.kind == "score"
    starts = [event for event in events if isinstance(event, TrainingStart)]
    assert [start.run for start in starts] == [tmp_path / "both", tmp_path / "both" / "prior"]
    assert any(isinstance(event, Progress) and event.task == "encoding pictures" for event in events)

    flow = {"architecture.prior.layers": 2, "architecture.prior.width": 16}
    later = train(model=tmp_path / "both" / "model", prior="flow", **settings, settings=flow, out=tmp_path / "later")
    assert later.model == tmp_path / "later" / "model"
    assert later.load().config.architecture.prior.kind == "flow"
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("recipe", "options", "message"),
    [
        (None, {}, "which recipe"),
        ("fashion-concta", {}, 'Did you mean "fashion-concat"'),
        ("fashion-concat", {"epochs": 0}, "training.epochs"),
        ("fashion-concat", {"limit": -1}, "data.limit"),
        ("fashion-concat", {"precision": "fp64"}, "training.precision"),
        ("fashion-concat", {"settings": {"training.speed": 3}}, 'unknown key "training.speed"'),
        ("fashion-concat", {"device": "abacus"}, "abacus"),
        ("fashion-concat", {"size": 64}, "28x28"),
        ("fashion-concat", {"prior": "gaussian"}, "prior"),
        ("fashion-concat", {"model": "fashion", "prior": "flow"}, "takes a finished model"),
        ("fashion-concat", {"out": "taken"}, "exists and is not a run"),
        ("folder:pics", {"data": "mnist"}, "or --data mnist"),
        (None, {"model": "fashion"}, "takes a finished model"),
        (None, {"resume": "taken"}, "is not a run"),
        (None, {"resume": "taken", "batch_size": 3}, "as it was started"),
        (None, {"resume": "taken", "settings": {"training.beta": 3}}, "as it was started"),
    ],
)
def test_arguments_that_cannot_be_used_are_usage_errors(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, recipe: str | None, options: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "thesis.tex").touch()
    data = {} if options.keys() & {"resume", "model"} or recipe == "folder:pics" else FEW
    with pytest.raises(UsageError) as caught:
        train(recipe, **data | options)
    assert message in f"{caught.value.message} {caught.value.hint}"
    assert [path.name for path in tmp_path.iterdir()] == ["taken"]


def test_plan_shows_the_recipe_and_the_folder_and_touches_nothing(
    run_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plan = plan_training("fashion-concat", epochs=7, settings={"training.ema_decay": 0.9, "training.epochs": 8})
    assert (plan.folder, plan.resume, plan.force) == (Path("runs/fashion-concat"), False, False)
    assert (plan.recipe.training.epochs, plan.recipe.training.ema_decay) == (8, 0.9)
    make_folder(tmp_path / "pics", 4)
    plan = plan_training("folder:pics", size=16)
    assert (plan.folder, plan.recipe.name) == (Path("runs/pics"), "pics")
    assert (plan.recipe.data.name, plan.recipe.data.size) == (f"folder:{tmp_path / 'pics'}", 16)
    plan = plan_training(resume=run_folder, learning_rate=0.5)
    assert (plan.folder, plan.resume) == (run_folder, True)
    assert (plan.recipe.training.learning_rate, plan.recipe.data.limit) == (0.5, 300)
    assert [path.name for path in tmp_path.iterdir()] == ["pics"]


def test_a_run_is_replaced_only_with_force(run_folder: Path) -> None:
    with pytest.raises(UsageError, match="already holds a run"):
        plan_training("fashion-concat", out=run_folder)
    assert plan_training("fashion-concat", out=run_folder, force=True).force


# ---- in other programs -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("program", ["script", "interactive session"])
def test_a_folder_is_learned_without_a_main_guard(
    clean_environment: dict[str, str], interpreter: str, tmp_path: Path, program: str
) -> None:
    make_folder(tmp_path / "pics", 320)  # enough for processes that decode
    code = [
        "from cvae_cli.training.train import train",
        f"options = dict(epochs=1, precision='fp32', prior='none', settings={SMALL})",
        "result = train('folder:pics', size=16, out='run', **options)",
        "print(result.model, [picture.size for picture in result.load().generate('bright')])",
    ]
    script, given = "\n".join(code), None
    if program == "interactive session":
        script, given = SESSION, "\n".join([*code, ""])
    with run_script(script, clean_environment, tmp_path, interpreter) as process:
        stdout, stderr = process.communicate(given, timeout=300)
    assert stderr.strip() == ""  # a session ends its last line
    assert stdout == f"{Path('run/model')} [(16, 16)]\n"


def test_ctrl_c_in_a_script_saves_everything_and_resume_gives_the_same_bits(
    interpreter: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = {**FEW, "data_dir": str(FASHION), "precision": "fp32", "batch_size": 8, "epochs": 3, "limit": 150}
    script = f"from cvae_cli.training.train import train; train('fashion-concat', out='run', **{arguments})"
    with run_script(script, clean_environment, tmp_path, interpreter) as process:
        while not (tmp_path / "run" / "metrics.jsonl").exists():
            assert process.poll() is None, "the training ended before it was to be stopped"
            time.sleep(0.005)
        process.send_signal(signal.SIGINT)
        _, stderr = process.communicate(timeout=300)
    assert process.returncode == 1
    assert "InterruptedRunError: stopped after step " in stderr
    assert "KeyboardInterrupt" not in stderr
    uninterrupted = train("fashion-concat", **arguments, out=tmp_path / "uninterrupted")
    assert weights(train(resume=tmp_path / "run").run) == weights(uninterrupted.run)


def test_two_processes_of_torchrun_share_a_training_and_resume_it(
    interpreter: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    arguments = {**FEW, "data_dir": str(FASHION), "precision": "fp32", "batch_size": 32}
    script = f"""
from cvae_cli.events import Notice
from cvae_cli.training.events import EpochEnd, TrainingStart
from cvae_cli.training.train import train

def show(event):
    if isinstance(event, (Notice, TrainingStart, EpochEnd)):
        print(event)

first = train("fashion-concat", out="run", epochs=1, device="cpu", callback=show, **{arguments})
second = train(resume="run", epochs=2, device="cpu", callback=show)
assert (len(first.history), len(second.history)) == (1, 2)
second.load()
"""
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    with run_script(script, clean_environment, tmp_path, interpreter, *torchrun) as process:
        stdout, stderr = process.communicate(timeout=300)
    assert process.returncode == 0, stderr
    heads = [line.split()[0] for line in stdout.splitlines() if line[0] != " "]
    assert heads == ["fashion-concat:", "epoch", "fashion-concat:", "epoch"]
    single = train("fashion-concat", **arguments, epochs=2, out=tmp_path / "single")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    for shared, alone in zip(lines, single.history, strict=True):
        assert shared["valid"] == pytest.approx(alone["valid"], rel=1e-4)
        assert shared["train"] == pytest.approx(alone["train"], rel=1e-4)
