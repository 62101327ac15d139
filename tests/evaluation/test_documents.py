"""The JSON document of an evaluation has the documented schema, and the CSV lines have the protocol of each score."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import torch
from conftest import FASHION, Command
from helpers import fashion

from cvae_cli.evaluation import report
from cvae_cli.evaluation.context import Context, Settings
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.evaluation.protocol import differences, essentials, make_protocol, score_protocols
from cvae_cli.evaluation.result import Evaluation, ModelScores, SetEvaluation, SetScores

SCHEMA = json.loads((Path(__file__).parents[2] / "docs" / "evaluation.schema.json").read_text(encoding="utf-8"))


def check_document(document: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.Draft202012Validator(SCHEMA).validate(document)


def test_models_have_the_documented_schema(cvae: Command, quick_model: Path) -> None:
    arguments = ["evaluate", "--model", quick_model, "--model", "fashion", "--data-dir", FASHION, "--samples", "20"]
    metrics = [part for name in ("mse", "rate", "recall", "bits-per-dim") for part in ("--metric", name)]
    document = json.loads(cvae(*arguments, *metrics, "--fail-if", "mse>1e9", "--json").stdout)
    check_document(document)
    for model in document["models"]:
        assert list(model["protocols"]) == list(model["scores"]) == ["mse", "rate", "recall", "bits-per-dim"]
    protocol = document["models"][0]["protocols"]["recall"]
    assert (protocol["real_images"], protocol["generated_images"], protocol["seed"]) == (20, 20, 0)
    assert protocol["features"]["features"].startswith("fashion-cnn")
    assert document["models"][0]["protocols"]["mse"]["reconstruction"] == "sample"
    with pytest.raises(jsonschema.ValidationError):
        check_document({**document, "sets": []})
    with pytest.raises(jsonschema.ValidationError):
        check_document({**document, "models": [{**document["models"][0], "scores": {"mse": "3"}}]})


def test_csv_has_a_line_for_each_score_with_its_protocol(cvae: Command, quick_model: Path) -> None:
    arguments = ["evaluate", "--model", quick_model, "--data-dir", FASHION, "--samples", "20", "--seed", "3"]
    metrics = ["--metric", "mse", "--metric", "recall", "--metric", "bits-per-dim"]
    done = cvae(*arguments, *metrics, "--csv")
    assert done.returncode == 0, done.stderr
    rows = list(csv.DictReader(done.stdout.splitlines()))
    assert [(row["model"], row["metric"], row["better"]) for row in rows] == [
        ("quick", "mse", "lower"),
        ("quick", "recall", "higher"),
        ("quick", "bits-per-dim", "lower"),
    ]
    document = json.loads(cvae(*arguments, *metrics, "--json").stdout)
    scores = document["models"][0]["scores"]
    assert [float(row["value"]) if row["value"] else None for row in rows] == list(scores.values())  # no digit is lost
    assert rows[0]["protocol"] == "20 real pictures · seed 3"
    assert rows[1]["protocol"].startswith("20 real and 20 generated pictures · seed 3 · temperature 1 · fashion-cnn")
    assert "bits/dim: defined only for" in done.stderr
    assert cvae(*arguments, *metrics, "--csv", "--json").returncode == 2


# ---- scores of different protocols ----------------------------------------------------------------------------------


@pytest.fixture
def two_sets() -> SetEvaluation:
    protocol: dict[str, Any] = {"real_images": 50, "generated_images": 40}
    one = SetScores("one", "a/one", 40, "8x8", "0" * 64, {"fid": 3.0, "recall": 0.5})
    one = replace(one, protocols={"fid": protocol, "recall": protocol})
    other_protocol = {**protocol, "generated_images": 30}
    other = replace(one, label="two", pictures=30, scores={"fid": 2.0, "recall": 0.25})
    other = replace(other, protocols={"fid": other_protocol, "recall": other_protocol})
    return SetEvaluation([one, other], ["fid", "recall"], {"real": "a/real", "real_images": 50, "seed": 0})


def test_scores_of_different_protocols_are_marked_and_none_is_the_best(two_sets: SetEvaluation) -> None:
    assert report.rows(two_sets) == [["fid ↓", "3  ", "2 †"], ["recall ↑", "0.5  ", "0.25 †"]]
    assert report.caveats(two_sets.measured, two_sets.metrics) == [
        "† fid, recall of two cannot be compared with one: 30 generated images, not 40"
    ]
    assert report.plain_rows(two_sets) == [
        ["fid", "3", "one"],
        ["fid", "2", "two", "30 generated images, not 40"],
        ["recall", "0.5", "one"],
        ["recall", "0.25", "two", "30 generated images, not 40"],
    ]
    lines = list(csv.DictReader(report.csv_lines(two_sets)))
    assert [line["protocol"] for line in lines] == ["50 real and 40 generated pictures"] * 2 + [
        "50 real and 30 generated pictures"
    ] * 2
    one = two_sets.sets[0]
    same = replace(two_sets, sets=[one, replace(one, label="two", scores={"fid": 2.0, "recall": 0.25})])
    assert report.rows(same) == [["fid, 40 samples ↓", "3  ", "2 *"], ["recall, 40 samples ↑", "0.5 *", "0.25  "]]
    assert report.caveats(same.measured, same.metrics) == []


def test_the_footer_has_the_essentials_of_the_protocol() -> None:
    features = {"features": "fashion-cnn 1.0", "weights_sha256": "ae1804e6" * 8, "resize": "none (28x28)"}
    protocols = {"mse": {"seed": 3}, "recall": {"features": features}, "coverage": {"features": features}}
    model = ModelScores("one", None, None, "gaussian", False, dict.fromkeys(protocols, 1.0), protocols=protocols)
    protocol = {"real_images": 1000, "split": "test", "dataset": "fashion-mnist", "seed": 3, "temperature": 0.7}
    assert report.footer(Evaluation([model], list(protocols), protocol)).split("\n") == [
        "1,000 test pictures of fashion-mnist · seed 3 · temperature 0.7 · details: --json",
        "recall, coverage: fashion-cnn 1.0 · resize none (28x28) · weights ae1804e6",
    ]


def test_the_footer_has_what_is_unusual_about_the_samples() -> None:
    model = ModelScores("one", None, None, "gaussian", False, {"accuracy": 1.0}, protocols={"accuracy": {}})
    protocol = {"real_images": 9, "split": "val", "dataset": "coco", "seed": 0, "repeats": 3, "guidance": 2.5}
    assert report.footer(Evaluation([model], ["accuracy"], protocol)) == (
        "9 val pictures of coco · seed 0 · mean of 3 seeds · guidance 2.5 · details: --json"
    )


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["runs/a", "runs/b/"], ["a", "b"]),
        (["one/a", "two/a", "b"], ["one/a", "two/a", "b"]),
        (["a", "a"], ["1 a", "2 a"]),
        ([Path.cwd(), "."], [str(Path.cwd()), "."]),
        (["."], [Path.cwd().name]),
        (["/"], ["/"]),
    ],
)
def test_labels_are_short_and_different(names: list[str], labels: list[str]) -> None:
    assert distinct_labels(names) == labels


@pytest.mark.parametrize(
    ("protocol", "line"),
    [
        ({}, ""),
        ({"real_images": 12_345, "generated_images": 0}, "12,345 real pictures"),
        (
            {"generated_images": 7, "seed": 0, "repeats": 3, "temperature": 0.5, "guidance": "each model's own"},
            "7 generated pictures · seed 0 · repeats 3 · temperature 0.5",
        ),
        ({"guidance": 2.0, "image_size": 28, "features": {}}, "guidance 2"),
        (
            {"features": {"clip": "openai", "clip_resize": "32x32", "clip_sha256": "0123456789"}},
            "openai · resize 32x32 · weights 01234567",
        ),
    ],
)
def test_a_protocol_in_a_line(protocol: dict[str, Any], line: str) -> None:
    assert essentials(protocol) == line


def test_what_differs_is_said_in_numbers_where_there_are_some() -> None:
    first = {"real_images": 1000, "clip": "a", "same": 1, "gone": 2, "seed": 0}
    other = {"real_images": 20_000, "clip": "b", "same": 1, "seed": "none", "new": 3}
    said = ["20,000 real images, not 1,000", "other clip", "other gone", "other seed", "other new"]
    assert differences(first, other) == said
    assert differences(first, dict(reversed(first.items()))) == []


def test_each_score_states_what_it_depends_on_and_nothing_else() -> None:
    data, cpu = fashion("test", 5), torch.device("cpu")
    context = Context(cpu, Settings(seed=3, repeats=2, temperature=0.5), dataset="fashion-mnist")
    found = score_protocols(data, ["mse", "rate", "precision"], context)
    common = {"dataset": "fashion-mnist", "split": "test", "real_images": 5, "seed": 3, "repeats": 2}
    drawn = {"generated_images": 5, "temperature": 0.5, "guidance": "each model's own"}
    assert found["rate"] == common
    assert found["mse"].items() >= (common | {"reconstruction": "sample"}).items()
    assert not found["mse"].keys() & drawn.keys()
    assert found["precision"].items() >= (common | drawn).items()
    assert found["precision"]["features"] == context.extractor("fashion").protocol
    once = Context(cpu, Settings(guidance=1.5), dataset="fashion-mnist")
    assert "repeats" not in score_protocols(data, ["rate"], once)["rate"]
    assert score_protocols(data, ["recall"], once)["recall"]["guidance"] == 1.5

    whole = make_protocol(data, ["mse", "precision"], context, cpu)
    numbers = {"image_size": 28, "generated_images": 5, "seed": 3, "repeats": 2, "temperature": 0.5, "device": "cpu"}
    assert whole.items() >= (common | numbers | {"guidance": "each model's own"}).items()
    assert list(whole["features"]) == ["precision"]
    settings = {"mse, mae, ssim, ssim-wang, ms-ssim, psnr", "ssim", "ssim-wang", "ms-ssim", "elbo", "active-units"}
    settings |= {"iwae", "inception-score", "kid", "precision, recall", "density, coverage"}
    words = {"conditions", "noise", "features", "versions"}
    assert whole.keys() >= settings | words  # what each metric is in detail, and what else counts
    assert whole["reconstruction"] == "decoder mean of the posterior's sample"
    assert whole["precision"] == "fp32"
    assert found["mse"].keys() & settings == {"mse, mae, ssim, ssim-wang, ms-ssim, psnr"}
    assert {"python", "cvae-cli", "torch", "torchmetrics"} <= whole["versions"].keys()
    assert make_protocol(data, [], once, cpu)["guidance"] == 1.5
