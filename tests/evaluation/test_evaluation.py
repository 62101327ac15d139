"""`evaluate` from Python gives what the command gives; tables are plain strings."""

import json
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from conftest import FASHION, Command
from helpers import small_model

from cvae_cli import CVAE
from cvae_cli.data.catalog import load_dataset
from cvae_cli.errors import MissingError, UsageError
from cvae_cli.evaluation import report
from cvae_cli.evaluation.evaluate import evaluate, evaluate_model
from cvae_cli.evaluation.features.fashion_cnn import FashionCNN
from cvae_cli.evaluation.latents import latent_spaces
from cvae_cli.evaluation.metrics.catalog import find_metric
from cvae_cli.evaluation.result import Evaluation, ModelScores
from cvae_cli.events import Event, Notice, Progress


def test_python_gives_what_the_command_gives(cvae: Command, run_folder: Path) -> None:
    events: list[Event] = []
    evaluation = evaluate(
        ["fashion", run_folder],
        metrics=["mse", "elbo", "fid-fashion"],
        dataset="fashion-mnist",
        samples=20,
        seed=2,
        data_dir=FASHION,
        device="cpu",
        callback=events.append,
    )
    metrics = [part for name in ("mse", "elbo", "fid-fashion") for part in ("--metric", name)]
    arguments = ["--model", "fashion", "--model", run_folder, *metrics, "--samples", "20", "--seed", "2"]
    printed = cvae(
        "evaluate", *arguments, "--dataset", "fashion-mnist", "--data-dir", FASHION, "--device", "cpu", "--json"
    )
    assert printed.returncode == 0, printed.stderr
    assert json.loads(json.dumps(evaluation.to_dict())) == json.loads(printed.stdout)
    assert [(model.label, model.source) for model in evaluation.models] == [
        ("fashion", "fashion"),
        ("small", str(run_folder)),
    ]
    progress = [event for event in events if isinstance(event, Progress)]
    for task in ("reconstructions", "bound", "samples"):
        for label in ("fashion", "small"):
            done = [event.done for event in progress if event.task == f"{label}: {task}"]
            assert list(dict.fromkeys(done)) == ([0, 16, 20] if task == "samples" else [0, 20])


def test_models_in_memory_are_measured(run_folder: Path) -> None:
    events: list[Event] = []
    loaded = CVAE.from_pretrained(run_folder)
    options = {"metrics": ["mse", "fid-fashion"], "samples": 20, "data_dir": FASHION, "device": "cpu"}
    evaluation = evaluate([loaded, run_folder], callback=events.append, **options)
    in_memory, from_folder = evaluation.models
    assert (in_memory.source, in_memory.weights_sha256) == (None, None)
    assert in_memory.scores == from_folder.scores
    assert in_memory.label != from_folder.label
    warnings = [event for event in events if isinstance(event, Notice) and event.is_warning]
    assert [warning.text[:49] for warning in warnings] == ["fid-fashion: fewer pictures (20) than features (1"]


def test_a_model_in_memory_is_labelled_as_its_user_calls_it(run_folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(run_folder)
    made, loaded = small_model(), CVAE.from_pretrained(tmp_path / "mine")
    options: dict[str, Any] = {"dataset": "fashion-mnist", "data_dir": FASHION, "device": "cpu"}
    scores = evaluate([made, loaded], metrics="mse", samples=4, **options).models
    spaces = latent_spaces([made, loaded], method="pca", n=20, **options).spaces
    assert [each.label for each in scores] == [each.label for each in spaces] == [made.config.name, "mine"]
    data = load_dataset("fashion-mnist", "test", data_dir=FASHION, limit=4)
    assert evaluate_model(loaded, data, ["mse"]).label == "mine"


def test_two_models_of_the_same_name_have_different_labels() -> None:
    models = [small_model(), small_model()]
    evaluation = evaluate(models, metrics="mse", dataset="fashion-mnist", samples=4, data_dir=FASHION)
    assert len({model.label for model in evaluation.models}) == 2


@pytest.mark.parametrize(
    ("models", "options", "measured"),
    [(1, {"repeats": 3}, 3 + 1), (2, {"samples": 40}, 2 + 1), (1, {"samples": 40, "repeats": 2}, 2 + 2)],
    ids=["repeats", "models", "other-pictures"],
)
def test_features_of_the_same_real_pictures_are_computed_once(
    quick_model: Path, monkeypatch: pytest.MonkeyPatch, models: int, options: dict[str, int], measured: int
) -> None:
    loaded = [CVAE.from_pretrained(quick_model) for _ in range(models)]
    options = {"seed": 4, **options}
    chosen: dict[str, Any] = {"metrics": "fid-fashion", "data_dir": FASHION, "device": "cpu"}
    alone = [
        evaluate(model, **chosen, **{**options, "seed": 4 + repeat, "repeats": 1}).models[0].scores["fid-fashion"]
        for model in loaded
        for repeat in range(options.get("repeats", 1))
    ]
    seen: list[int] = []
    forward = FashionCNN.forward
    monkeypatch.setattr(FashionCNN, "forward", lambda self, images: seen.append(len(images)) or forward(self, images))
    together = evaluate(loaded, **chosen, **options)
    assert sum(seen) == measured * options.get("samples", 200)
    scores = [each.scores["fid-fashion"] for each in together.models]
    assert fmean(scores) == pytest.approx(fmean(alone), rel=1e-9)


def test_arguments_that_cannot_be_used() -> None:
    with pytest.raises(UsageError, match='Did you mean "mse"'):
        evaluate("fashion", metrics="mse2")
    with pytest.raises(UsageError, match="no model"):
        evaluate([])
    with pytest.raises(UsageError, match="samples"):
        evaluate("fashion", samples=0)


def test_a_score_prior_is_refused_before_the_data_set_is_loaded() -> None:
    with pytest.raises(UsageError, match="has no density"):
        evaluate(small_model("map-score"), metrics="iwae", dataset="fashion-mnist", data_dir=Path("absent"))


def test_missing_weights_suggest_a_metric_that_needs_none(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path))
    for metric, suggestion in {"fid": "fid-fashion", "clip-score": "ssim"}.items():
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        with pytest.raises(MissingError) as error:
            evaluate("fashion", metrics=metric, dataset="fashion-mnist", data_dir=FASHION)
        assert str(error.value.hint).endswith(f"--metric {suggestion}")


INCOMPARABLE = "the models have different likelihoods: their -ELBOs and distortions cannot be compared"


def test_nats_of_another_likelihood_are_warned_about_in_pipes_and_json(cvae: Command, tmp_path: Path) -> None:
    for name, variant in {"bytes": "map-add", "real": "map-concat"}.items():
        small_model(variant).save_pretrained(tmp_path / name)
    arguments = ["evaluate", "--data-dir", FASHION, "--samples", "8", "--model", "bytes", "--model", "real"]
    piped = cvae(*arguments, "--metric", "elbo", "--metric", "bits-per-dim")
    undefined = "bits/dim: defined only for likelihoods over 8-bit values (logistic)"
    assert piped.stderr.splitlines() == [f"cvae: warning: {INCOMPARABLE}", f"cvae: warning: {undefined}"]
    assert [line.split("\t")[1] == "nan" for line in piped.stdout.splitlines()] == [False, False, False, True]
    document = cvae(*arguments, "--metric", "distortion", "--json")
    assert document.stderr.splitlines() == [f"cvae: warning: {INCOMPARABLE}"]
    assert json.loads(document.stdout)["warnings"] == [INCOMPARABLE]
    one = cvae(*arguments[:-2], "--metric", "elbo")
    assert one.stderr == ""


def test_a_score_of_samples_says_how_many_there_are(cvae: Command, quick_model: Path) -> None:
    arguments = ["evaluate", "--data-dir", FASHION, "--samples", "20", "--model", quick_model]
    done = cvae(*arguments, "--metric", "fid-fashion", "--metric", "recall", "--metric", "mse", "--json")
    (scored,) = json.loads(done.stdout)["models"]
    assert (scored["fid-fashion samples"], scored["recall samples"]) == (20, 20)
    assert "mse samples" not in scored
    evaluation = evaluate(quick_model, metrics=["fid-fashion", "mse"], samples=20, data_dir=FASHION)
    assert [row[0] for row in report.rows(evaluation)] == ["fid-fashion, 20 samples ↓", "mse, sum over pixels ↓"]
    assert json.loads(done.stdout)["warnings"] == evaluation.warnings
    assert find_metric("retrieval").heading(20) == "retrieval, R@1 of 20"
    assert find_metric("retrieval").heading(2000) == "retrieval, R@1 of 100"


# ---- tables ------------------------------------------------------------------------------------------------------


@pytest.fixture
def evaluation() -> Evaluation:
    one = ModelScores("one", "runs/one", "0", "gaussian", False, {"mse": 2.0, "elbo": 5.0, "ssim": 0.5, "rate": 1.0})
    other = replace(one, label="two", hybrid=True, scores={"mse": 3.0, "elbo": 4.0, "ssim": 0.75, "rate": 2.0})
    protocol = {
        "real_images": 1000, "generated_images": 1000, "split": "test", "dataset": "fashion-mnist", "seed": 3
    }  # fmt: skip
    return Evaluation([one, other], ["mse", "elbo", "ssim", "rate"], protocol)


def test_the_best_value_is_marked(evaluation: Evaluation) -> None:
    assert report.columns(evaluation) == ["", "one", "two (hybrid)"]
    assert report.rows(evaluation) == [
        ["mse, sum over pixels ↓", "2 *", "3  "],
        ["-ELBO, nats ↓", "5  ", "4 *"],
        ["ssim, border reflected ↑", "0.5  ", "0.75 *"],
        ["rate, nats", "1", "2"],
    ]
    assert report.footer(evaluation) == "1,000 test pictures of fashion-mnist · seed 3 · details: --json"


def test_nats_of_different_likelihoods_are_not_compared(evaluation: Evaluation) -> None:
    one, other = evaluation.models
    mixed = replace(evaluation, models=[one, replace(other, likelihood="logistic")])
    assert report.rows(mixed)[1] == ["-ELBO, nats ↓", "5", "4"]
    assert report.caveats(mixed.models, mixed.metrics) == [INCOMPARABLE]
    assert report.caveats(evaluation.models, evaluation.metrics) == []
    assert report.caveats(mixed.models, ["mse", "rate"]) == []


def test_a_value_without_meaning_is_named(evaluation: Evaluation) -> None:
    one = replace(evaluation.models[0], scores={"bits-per-dim": None})
    single = replace(evaluation, models=[one], metrics=["bits-per-dim"])
    assert report.rows(single) == [["bits/dim ↓", "not comparable"]]
    assert report.plain_rows(single) == [["bits-per-dim", "nan"]]
    (caveat,) = report.caveats(single.models, single.metrics)
    assert "only for likelihoods over 8-bit values" in caveat
    assert report.plain_rows(evaluation)[:2] == [["mse", "2", "one"], ["mse", "3", "two"]]
