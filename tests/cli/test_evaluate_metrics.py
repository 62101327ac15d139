"""`cvae evaluate` with metrics by group, on features by name, and over several seeds."""

import json
from pathlib import Path
from statistics import fmean, stdev

import pytest
import torch
from conftest import FASHION, Command

from cvae_cli.evaluation.features import load_extractor
from cvae_cli.evaluation.features.extractors import Inception
from cvae_cli.evaluation.features.picture_cnn import WEIGHTS
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.metrics.frechet import frechet_distance
from cvae_cli.models.cvae import CVAE

CPU = torch.device("cpu")

MINE = """
import torch

def means(images):
    return images.float().mean((2, 3))

class Corner(torch.nn.Module):
    num_features = 4

    def forward(self, images):
        return images[:, 0, 12:14, 12:14].flatten(1).float()

def scalar(images):
    return images.float().mean()

def array(images):
    return images.numpy()

def endless(images):
    return images.float().mean((2, 3)) / 0

def broken(images):
    raise ValueError("no luck")

number = 3

class Unmade:
    def __init__(self):
        raise ValueError("no luck")
"""


@pytest.fixture
def evaluate(cvae: Command, quick_model: Path, tmp_path: Path) -> Command:
    (tmp_path / "mine.py").write_text(MINE)
    arguments = ["evaluate", "--data-dir", FASHION, "--model", quick_model, "--samples", "24", "--device", "cpu"]
    return lambda *more, **options: cvae(*arguments, *more, **options)


def test_features_of_ones_own_are_found_in_the_working_directory(evaluate: Command, quick_model: Path) -> None:
    names = ["frechet:mine:means", "kid:mine:Corner", "recall:mine:Corner"]
    done = evaluate(*(part for name in names for part in ("--metric", name)), "--json", "--seed", "4")
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    (scored,) = document["models"]
    assert list(scored["scores"]) == names
    features = scored["protocols"]["frechet:mine:means"]["features"]
    assert features["extractor"] == "mine:means"
    assert len(features["source_sha256"]) == 64

    from cvae_cli import load_dataset
    from cvae_cli.models.sampling import numbers_of

    data = load_dataset("fashion-mnist", "test", data_dir=FASHION).sample(24, 4)
    texts = [data.conditions.text(row) for row in range(24)]
    model = CVAE.from_pretrained(quick_model)
    condition = torch.from_numpy(data.conditions.indices)
    drawn = model.sample(condition, seed=4, prompts=texts, indices=numbers_of(texts)).mul(255).round()
    real = torch.from_numpy(data.images).permute(0, 3, 1, 2).float()
    ours, theirs = (each.expand(-1, 3, -1, -1).mean((2, 3)) for each in (drawn, real))
    assert scored["scores"]["frechet:mine:means"] == pytest.approx(frechet_distance(ours, theirs), rel=1e-4)


@pytest.mark.parametrize(
    ("metric", "message", "hint"),
    [
        ("frechet:mine:absent", 'the module mine has no "absent"', ""),
        ("frechet:none_such:means", 'no module "none_such"', "for example:  mymodule:features"),
        ("frechet:mine:scalar", "mine:scalar returned a tensor  for 2x3x64x64 pictures", "a vector of finite numbers"),
        ("frechet:mine:array", "mine:array returned a ndarray", "a vector of finite numbers"),
        ("frechet:mine:endless", "mine:endless returned numbers that are not finite", ""),
        ("frechet:mine:broken", "failed for 2x3x64x64 uint8 pictures: ValueError: no luck", ""),
        ("frechet:mine:Unmade", "mine:Unmade could not be made: ValueError: no luck", ""),
        ("frechet:mine:number", "mine:number cannot be called: it is a int", ""),
        ("frechet:picturs", 'no features "picturs". Did you mean "pictures"?', "MODULE:CALLABLE"),
        ("frechet:", 'no features ""', "inception, clip, fashion, pictures"),
        ("fid:clip", '"fid" has its own features or none', "--metric frechet:clip"),
        ("mse:clip", '"mse" has its own features or none', "metrics on features of your choice: frechet, kid"),
        ("precison:clip", 'no metric "precison:clip". Did you mean "precision"?', "metrics: mse"),
    ],
)
def test_features_that_cannot_be_used(evaluate: Command, metric: str, message: str, hint: str) -> None:
    done = evaluate("--metric", metric)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr


def test_the_table_and_json_say_on_which_features(evaluate: Command) -> None:
    from cvae_cli.evaluation import report
    from cvae_cli.evaluation.evaluate import evaluate as run

    done = evaluate("--metric", "recall", "--metric", "density:pictures", "--json")
    (scored,) = json.loads(done.stdout)["models"]
    named = {name: protocol["features"]["extractor"] for name, protocol in scored["protocols"].items()}
    assert named == {"recall": "fashion", "density:pictures": "pictures"}
    model = CVAE.from_pretrained("fashion")
    evaluation = run(model, metrics=["recall", "density:pictures"], samples=4, data_dir=FASHION, device="cpu")
    assert [row[0] for row in report.rows(evaluation)] == [
        "recall on fashion, 4 samples ↑",
        "density:pictures, 4 samples ↑",
    ]


def test_a_group_is_what_can_be_computed_and_says_what_not(evaluate: Command) -> None:
    offline = {"HF_HUB_OFFLINE": "1"}
    done = evaluate("--metric", "samples", "--metric", "mse", env=offline)
    assert done.returncode == 0, done.stderr
    names = [line.split("\t")[0] for line in done.stdout.splitlines()]
    assert names == ["accuracy", "fid-fashion", "precision", "recall", "density", "coverage", "mse"]
    assert 'left out: fid, kid, inception-score (the weights "inception" are not on this machine' in done.stderr
    assert 'left out: clip-score, retrieval (the weights "clip" are not on this machine' in done.stderr
    done = evaluate("--metric", "reconstructions", "--json")
    document = json.loads(done.stdout)
    assert list(document["models"][0]["scores"]) == ["mse", "mae", "ssim", "ssim-wang", "psnr"]
    assert [text[:20] for text in document["warnings"]] == ['left out: ms-ssim ("', 'left out: lpips ("lp']
    assert evaluate("--metric", "fid", "--metric", "samples", env=offline).returncode == 3  # fid was asked for
    misspelt = evaluate("--metric", "sampls")
    assert 'Did you mean "samples"?' in misspelt.stderr
    assert evaluate("--fail-if", "all>3").returncode == 2  # no single score


def test_every_metric_is_in_a_group() -> None:
    streams = [name for group in ("reconstructions", "bound", "samples") for name in catalog.group_names(group)]
    assert sorted(streams) == sorted(catalog.group_names("all")) == sorted(catalog.METRICS)


def test_repeats_are_the_mean_and_deviation_of_runs_with_these_seeds(evaluate: Command) -> None:
    metrics = ["--metric", "mse", "--metric", "fid-fashion", "--metric", "bits-per-dim", "--json"]
    documents = [json.loads(evaluate(*metrics, "--seed", str(seed)).stdout) for seed in (5, 6, 7)]
    together = json.loads(evaluate(*metrics, "--seed", "5", "--repeats", "3").stdout)
    (scored,) = together["models"]
    for name in ("mse", "fid-fashion"):
        values = [document["models"][0]["scores"][name] for document in documents]
        assert len(set(values)) == 3
        assert scored["scores"][name] == pytest.approx(fmean(values), rel=1e-9)
        assert scored["deviations"][name] == pytest.approx(stdev(values), rel=1e-6)
    assert scored["scores"]["bits-per-dim"] is None
    assert "bits-per-dim" not in scored["deviations"]
    assert (together["protocol"]["seed"], together["protocol"]["repeats"]) == (5, 3)
    assert scored["protocols"]["mse"]["repeats"] == 3
    assert documents[0]["models"][0]["deviations"] == {}
    assert evaluate("--repeats", "0").returncode == 2


def test_a_deviation_stands_beside_its_mean(quick_model: Path) -> None:
    from cvae_cli.evaluation import report
    from cvae_cli.evaluation.evaluate import evaluate as run

    model = CVAE.from_pretrained(quick_model)
    options = {"samples": 8, "data_dir": FASHION, "device": "cpu", "repeats": 2}
    evaluation = run(model, metrics=["mse", "kid:fashion"], **options)
    scores, deviations = evaluation.models[0].scores, evaluation.models[0].deviations
    assert [row[1] for row in report.rows(evaluation)] == [
        f"{scores[name]:.4g} ± {deviations[name]:.2g}" for name in ("mse", "kid:fashion")
    ]


# ---- the networks ----------------------------------------------------------------------------------------------------


def test_picture_features_do_not_depend_on_the_batch_and_take_any_size() -> None:
    extractor = load_extractor("pictures", CPU)
    assert WEIGHTS.stat().st_size < 1.2e6
    random = torch.Generator().manual_seed(0)
    for height, width in ((28, 28), (64, 64), (100, 150)):
        pictures = torch.randint(256, (5, 3, height, width), dtype=torch.uint8, generator=random)
        vectors = extractor.network(pictures)
        assert vectors.shape == (5, extractor.num_features) == (5, 128)
        alone = torch.cat([extractor.network(each[None]) for each in pictures])
        torch.testing.assert_close(vectors, alone, rtol=1e-4, atol=1e-5)
        assert (vectors[0] - vectors[1]).norm() > 1e-2


def test_the_logits_of_inception_have_no_biases() -> None:
    network = torch.nn.Module()
    network.fc = torch.nn.Linear(2048, 1008)
    features = torch.rand(2, 2048)
    expected = network.fc(features) - network.fc.bias
    torch.testing.assert_close(Inception(network).logits(features), expected)
