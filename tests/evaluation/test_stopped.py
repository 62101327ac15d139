"""Ctrl-C during an evaluation prints the scores that are finished."""

import json
import subprocess
from pathlib import Path

import pytest
from conftest import FASHION
from helpers import fashion
from PIL import Image

from cvae_cli import evaluate, evaluate_sets
from cvae_cli.evaluation import report
from cvae_cli.evaluation.result import StoppedEvaluationError
from cvae_cli.events import Callback, Event, Progress

# The command, with Ctrl-C when the first sample has been drawn
STOPPED = """
from cvae_cli import app
from cvae_cli.evaluation.metrics.frechet import Frechet

def update_generated(self, pictures):
    raise KeyboardInterrupt

Frechet.update_generated = update_generated
app.main()
"""


def stop_at(task: str) -> Callback:
    def callback(event: Event) -> None:
        if isinstance(event, Progress) and event.task == task and event.done:
            raise KeyboardInterrupt

    return callback


def test_the_command_prints_what_is_finished(
    interpreter: str, clean_environment: dict[str, str], quick_model: Path, tmp_path: Path
) -> None:
    command = [interpreter, "-c", STOPPED, "evaluate", "--model", str(quick_model), "--data-dir", str(FASHION)]
    command += ["--samples", "20", "--metric", "fid-fashion", "--metric", "mse", "--metric", "rate"]
    options = {"env": clean_environment, "cwd": tmp_path, "capture_output": True, "text": True}
    done = subprocess.run(command, **options)  # type: ignore[call-overload]
    assert done.returncode == 130, done.stderr
    assert [line.split("\t")[0] for line in done.stdout.splitlines()] == ["mse", "rate"]
    assert done.stderr.splitlines()[-1] == "cvae: stopped; these are the scores that were finished"
    nothing = subprocess.run([*command[:-4], "--json"], **options)  # type: ignore[call-overload]
    assert (nothing.returncode, nothing.stdout) == (130, "")
    document = subprocess.run([*command, "--json"], **options)  # type: ignore[call-overload]
    assert list(json.loads(document.stdout)["models"][0]["scores"]) == ["mse", "rate"]


def test_finished_models_and_parts_of_the_last_one_are_kept(quick_model: Path) -> None:
    options = {"metrics": ["accuracy", "mse"], "samples": 20, "data_dir": FASHION, "device": "cpu"}
    with pytest.raises(StoppedEvaluationError) as caught:
        evaluate([quick_model, "fashion"], callback=stop_at("fashion: samples"), **options)  # type: ignore[arg-type]
    stopped = caught.value.evaluation
    assert stopped.metrics == ["accuracy", "mse"]
    assert [list(each.scores) for each in stopped.measured] == [["accuracy", "mse"], ["mse"]]
    (whole,) = evaluate(quick_model, **options).models  # type: ignore[arg-type]
    assert stopped.measured[0].scores == whole.scores
    assert report.rows(stopped)[0][2].strip() == "stopped"
    assert [row[0] for row in report.plain_rows(stopped)] == ["accuracy", "mse", "mse"]
    with pytest.raises(KeyboardInterrupt):  # of several seeds, the mean of some is not that of all
        evaluate(quick_model, repeats=2, callback=stop_at("quick: samples"), **options)  # type: ignore[arg-type]


def test_finished_sets_are_kept(tmp_path: Path) -> None:
    for name in ("real", "one", "two"):
        (tmp_path / name).mkdir()
        for number, pixels in enumerate(fashion("test", 4).images):
            Image.fromarray(pixels[..., 0] // len(name)).save(tmp_path / name / f"{number}.png")
    sets = [tmp_path / "one", tmp_path / "two"]
    with pytest.raises(StoppedEvaluationError) as caught:
        evaluate_sets(tmp_path / "real", sets, metrics="fid-fashion", callback=stop_at("two"))
    assert [each.label for each in caught.value.evaluation.measured] == ["one"]
    with pytest.raises(KeyboardInterrupt):
        evaluate_sets(tmp_path / "real", sets, metrics="fid-fashion", callback=stop_at("real pictures"))
