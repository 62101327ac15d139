"""`cvae evaluate` in a pipe, with --json, and in a terminal."""

import json
import shutil
from pathlib import Path

import pytest
from conftest import FASHION, Command


@pytest.fixture
def evaluate(cvae: Command) -> Command:
    return lambda *arguments, **options: cvae("evaluate", "--data-dir", FASHION, *arguments, **options)


def test_pipe_gets_values_by_tabs(evaluate: Command, run_folder: Path) -> None:
    done = evaluate("--model", run_folder, "--metric", "mse", "--metric", "accuracy", "--metric", "mse")
    assert done.returncode == 0, done.stderr
    rows = [line.split("\t") for line in done.stdout.splitlines()]
    assert [row[0] for row in rows] == ["mse", "accuracy"]
    assert 5 < float(rows[0][1]) < 200
    assert 0 <= float(rows[1][1]) <= 1


def test_several_models_are_told_apart(evaluate: Command, run_folder: Path) -> None:
    done = evaluate("--model", run_folder, "--model", run_folder / "last", "--metric", "elbo", "--samples", "50")
    assert [line.split("\t")[2] for line in done.stdout.splitlines()] == ["small", "last"]


def test_json_carries_the_protocol(evaluate: Command, run_folder: Path) -> None:
    arguments = ["--model", run_folder, "--samples", "64", "--seed", "3", "--json"]
    done = evaluate(*arguments)
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    (scored,) = result["models"]
    assert list(scored["scores"]) == [
        *("mse", "mae", "ssim", "ssim-wang", "psnr", "elbo", "rate", "distortion", "active-units"),
        *("accuracy", "fid-fashion", "precision", "recall", "density", "coverage"),
    ]
    scores = scored["scores"]
    assert scores["elbo"] == pytest.approx(scores["rate"] + scores["distortion"])
    assert "border" in result["protocol"]["ssim"]
    assert "within the picture" in result["protocol"]["ssim-wang"]
    protocol = result["protocol"]
    assert (protocol["split"], protocol["real_images"], protocol["generated_images"]) == ("test", 64, 64)
    assert (protocol["seed"], protocol["temperature"], protocol["image_size"]) == (3, 1.0, 28)
    assert protocol["features"]["fid-fashion"]["features"].startswith("fashion-cnn")
    assert len(protocol["features"]["fid-fashion"]["weights_sha256"]) == 64
    assert {"cvae-cli", "torch", "torchmetrics"} <= protocol["versions"].keys()
    assert json.loads(evaluate(*arguments).stdout) == result  # the same call gives the same numbers


def test_bits_are_not_made_up_for_a_likelihood_that_has_none(evaluate: Command, run_folder: Path) -> None:
    """The article's cross-entropy is no likelihood of 8-bit values: asked for, the value is missing, and it is said."""
    done = evaluate("--model", run_folder, "--samples", "4", "--metric", "bits-per-dim")
    assert done.stdout == "bits-per-dim\tnan\n"
    assert done.stderr == "cvae: warning: bits/dim: defined only for likelihoods over 8-bit values (logistic)\n"
    document = json.loads(
        evaluate("--model", run_folder, "--samples", "4", "--metric", "bits-per-dim", "--json").stdout
    )
    assert document["models"][0]["scores"] == {"bits-per-dim": None}
    assert len(document["warnings"]) == 1


def test_mean_of_the_posterior_is_nearer_than_a_sample(evaluate: Command) -> None:
    few = ["--model", "fashion", "--metric", "mse", "--samples", "50"]
    mean, sample = (float(evaluate(*few, "--reconstruction", way).stdout.split("\t")[1]) for way in ("mean", "sample"))
    assert mean < sample


def test_absent_inception_names_both_ways_out(evaluate: Command, run_folder: Path) -> None:
    done = evaluate("--model", run_folder, "--metric", "fid")
    assert done.returncode == 3
    assert "cvae download-weights inception" in done.stderr
    assert "--metric fid-fashion" in done.stderr


def test_few_pictures_for_a_frechet_distance_are_warned_about(evaluate: Command, run_folder: Path) -> None:
    done = evaluate("--model", run_folder, "--metric", "fid-fashion", "--samples", "50")
    assert done.returncode == 0
    assert "fewer pictures (50) than features (128)" in done.stderr
    done = evaluate("--model", run_folder, "--metric", "fid-fashion", "--samples", "200", "--json")
    (warning,) = json.loads(done.stdout)["warnings"]
    assert warning.startswith("fid-fashion of 200 pictures is higher than of more: its 128 features need 2,560")
    assert done.stderr == f"cvae: warning: {warning}\n"


def test_default_is_the_bundled_model(evaluate: Command) -> None:
    """The default model is evaluated on COCO, which is missing."""
    done = evaluate("--metric", "mse")
    assert done.returncode == 3
    assert "captions_val2017.json" in done.stderr


def test_a_hybrid_is_told_from_a_pure_model(evaluate: Command, run_folder: Path, tmp_path: Path) -> None:
    hybrid = tmp_path / "mixed"
    shutil.copytree(run_folder / "model", hybrid)
    config = json.loads((hybrid / "config.json").read_text())
    (hybrid / "config.json").write_text(json.dumps({**config, "hybrid": True}))
    arguments = ["--model", hybrid, "--model", run_folder, "--metric", "mse", "--samples", "10"]
    result = json.loads(evaluate(*arguments, "--json").stdout)
    assert [each["hybrid"] for each in result["models"]] == [True, False]
