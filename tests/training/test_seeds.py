"""A recipe with several seeds: its runs, what is not done again, and their mean and spread."""

import json
import os
import signal
import statistics
import subprocess
from pathlib import Path

import jsonschema
import pytest
from conftest import FASHION, Command

from cvae_cli import evaluate, train_seeds
from cvae_cli.errors import InterruptedRunError, UsageError
from cvae_cli.evaluation.report import columns, csv_lines, rows
from cvae_cli.events import Event, Notice
from cvae_cli.training.events import EpochEnd, TrainingStart

SCHEMA = Path(__file__).parents[2] / "docs" / "evaluation.schema.json"
TINY = {"architecture.network.width": 8, "architecture.latent_dim": 4}
OPTIONS = {"data_dir": FASHION, "limit": 40, "epochs": 1, "batch_size": 20, "prior": "none", "settings": TINY}


def notices(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice)]


def test_seeds_are_trained_once_each_and_measured_together(
    tmp_path: Path, cvae: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "runs" / "tiny"

    # stopped by Ctrl-C in the first of two seeds, and killed as the second one starts
    def stop_in_the_first(event: Event) -> None:
        if isinstance(event, EpochEnd):
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(InterruptedRunError) as stopped:
        train_seeds("fashion-fast", seeds=2, seed=4, out=out, callback=stop_in_the_first, **OPTIONS)
    assert "go on with all seeds by the same command" in str(stopped.value.hint)
    assert not (out / "seed-5").exists()

    def die_in_the_second(event: Event) -> None:
        if isinstance(event, TrainingStart) and event.recipe.training.seed == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_seeds("fashion-fast", seeds=2, seed=4, out=out, callback=die_in_the_second, **OPTIONS)
    assert (out / "seed-5" / "recipe.toml").exists()
    first = out / "seed-4" / "model" / "model.safetensors"
    written = first.stat().st_mtime_ns

    # the same call goes on, and more seeds are added to those that are there
    events: list[Event] = []
    results = train_seeds("fashion-fast", seeds=3, seed=4, out=out, callback=events.append, **OPTIONS)
    assert [result.run for result in results] == [out / f"seed-{seed}" for seed in (4, 5, 6)]
    assert [result.recipe.training.seed for result in results] == [4, 5, 6]
    assert f"{out / 'seed-4'} is finished already" in notices(events)
    assert first.stat().st_mtime_ns == written
    metrics = json.loads((out / "seed-4" / "metrics.jsonl").read_text())
    assert results[0].best_negative_elbo == metrics["valid"]["negative_elbo"]
    assert len({result.best_negative_elbo for result in results}) == 3

    # other settings are not mixed with these
    with pytest.raises(UsageError, match=r"seed-4 holds a run with other settings"):
        train_seeds("fashion-fast", seeds=3, seed=4, out=out, **OPTIONS | {"batch_size": 10})

    # one column for all of them
    shared = {"metrics": ["mse", "rate"], "samples": 20, "data_dir": FASHION}
    alone = [evaluate(result.run, **shared).models[0].scores["mse"] for result in results]
    assert all(value is not None for value in alone)
    evaluation = evaluate([out, out / "seed-4"], **shared)
    together, single = evaluation.models
    assert together.scores["mse"] == pytest.approx(statistics.fmean(alone))
    assert together.deviations["mse"] == pytest.approx(statistics.stdev(alone))
    assert [run.scores["mse"] for run in together.runs] == alone
    assert single.scores["mse"] == alone[0]
    assert columns(evaluation) == ["", "tiny (3 runs)", "seed-4"]
    assert " ± " in rows(evaluation)[0][1]
    assert " ± " not in rows(evaluation)[0][2]
    assert csv_lines(evaluation)[1].split(",")[:4] == [
        "tiny",
        "mse",
        repr(together.scores["mse"]),
        repr(together.deviations["mse"]),
    ]

    # the command says the same
    arguments = ["evaluate", "--model", out, "--metric", "mse", "--metric", "rate", "--samples", "20"]
    done = cvae(*arguments, "--data-dir", FASHION, "--json")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    jsonschema.validate(document, json.loads(SCHEMA.read_text()))
    (model,) = document["models"]
    assert model["scores"]["mse"] == pytest.approx(together.scores["mse"], rel=1e-6)
    assert [run["model"] for run in model["runs"]] == ["seed-4", "seed-5", "seed-6"]
    for option in (["--card"], ["--report", "page.html"]):
        refused = cvae(*arguments, *option)
        assert refused.returncode == 2
        assert "has several runs" in refused.stderr


def test_the_command_trains_seeds(cvae: Command, tmp_path: Path) -> None:
    arguments = ["train", "fashion-fast", "--data-dir", FASHION, "--limit", "40", "--epochs", "1", "--prior", "none"]
    arguments += ["--batch-size", "20", "--seeds", "2", "--out", "s"]
    arguments += [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    done = cvae(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    assert [run["run"] for run in json.loads(done.stdout)["runs"]] == ["s/seed-0", "s/seed-1"]
    again = cvae(*arguments)
    assert again.stdout.splitlines() == ["s/seed-0/model", "s/seed-1/model"]
    assert again.stderr.count("is finished already") == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["fashion-fast", "--seeds", "3", "--minutes", "1"], "another number of epochs"),
        (["--resume", "runs/x", "--seeds", "3"], "a run has one seed"),
        (["fashion-fast", "--seeds", "2", "--gpus", "2"], "several processes can only train one seed"),
        (["fashion-fast", "--seeds", "5000"], "from 1 to 1,000"),
        (["fashion-fast", "--seeds", "3", "--seed", "4294967295"], "training.seed"),
    ],
)
def test_what_does_not_go_with_seeds_is_refused(cvae: Command, options: list[str], said: str) -> None:
    done = cvae("train", *options)
    assert done.returncode == 2
    assert said in done.stderr


def test_seeds_do_not_go_into_a_run_of_one_seed(cvae: Command, run_folder: Path) -> None:
    done = cvae("train", "fashion-fast", "--seeds", "2", "--out", run_folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"cvae: {run_folder} is a run of one seed\n")
    assert not (run_folder / "seed-0").exists()


def test_the_sweep_of_the_documentation(
    cvae: Command, executable: str, clean_environment: dict[str, str], tmp_path: Path
) -> None:
    """It makes a table of means and deviations from a recipe in a file, and begun again it trains nothing twice."""
    options = ["--data-dir", FASHION, "--limit", "40", "--epochs", "1", "--batch-size", "20", "--prior", "none"]
    options += [word for key, value in TINY.items() for word in ("--set", f"{key}={value}")]
    recipe = cvae("train", "fashion-fast", *options, "--dry-run")
    assert recipe.returncode == 0, recipe.stderr
    (tmp_path / "mine.toml").write_text(recipe.stdout)
    page = (SCHEMA.parent / "experiments.md").read_text("utf-8")
    loop = page.partition("<!-- sweep -->")[2].split("```")[1].removeprefix("sh\n")
    loop = loop.replace("cvae evaluate", f"cvae evaluate --samples 20 --data-dir {FASHION}")
    environment = clean_environment | {"PATH": f"{Path(executable).parent}:{os.environ['PATH']}"}
    for times in (0, 4):
        done = subprocess.run(["sh", "-c", loop], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert done.stderr.count("is finished already") == times
    lines = (tmp_path / "sweep.csv").read_text().splitlines()
    assert lines[0] == "model,metric,value,deviation,better,protocol"
    assert [line.split(",")[:2] for line in lines[1:]] == [
        [model, metric] for model in ("beta-0.5", "beta-2") for metric in ("mse", "rate")
    ]
    assert all(float(line.split(",")[3]) > 0 for line in lines[1:])
