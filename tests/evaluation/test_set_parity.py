"""Two folders have the scores that torch-fidelity itself gives them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import random_inception
import torch_fidelity
from PIL import Image

from cvae_cli import evaluate_sets

SIZES = [(28, 28), (28, 28), (64, 48), (256, 256), (64, 48)]  # width and height; every second picture is grey


def make_folder(folder: Path, n: int) -> None:
    """Write pictures of blurred noise, grey and in colour, in several sizes."""
    folder.mkdir()
    random = np.random.default_rng(n)
    for number in range(n):
        size = SIZES[number % len(SIZES)]
        shape = (6, 6) if number % 2 else (6, 6, 3)
        noise = Image.fromarray(random.integers(0, 256, shape, np.uint8))
        noise.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.png")


def test_folders_have_the_scores_of_torch_fidelity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = random_inception.install(tmp_path / "home", monkeypatch)
    make_folder(tmp_path / "real", 4)
    make_folder(tmp_path / "generated", 11)  # the inception score is of ten parts
    with warnings.catch_warnings(action="ignore"):
        expected = torch_fidelity.calculate_metrics(
            input1=str(tmp_path / "generated"),
            input2=str(tmp_path / "real"),
            fid=True,
            kid=True,
            isc=True,
            prc=True,
            kid_subset_size=4,
            feature_extractor="inception-v3-compat",
            feature_extractor_weights_path=str(weights),
            batch_size=1,  # as it needs for several sizes
            save_cpu_ram=True,  # without processes
            cuda=False,
            verbose=False,
        )
    metrics = ["fid", "kid", "inception-score", "precision:inception", "recall:inception"]
    (scored,) = evaluate_sets(tmp_path / "real", tmp_path / "generated", metrics=metrics, device="cpu").sets
    assert scored.sizes == "28x28 to 256x256"
    assert scored.scores["fid"] == pytest.approx(expected["frechet_inception_distance"], rel=1e-4)
    theirs = ("kernel_inception_distance_mean", "inception_score_mean", "precision", "recall")
    assert [scored.scores[name] for name in metrics[1:]] == [pytest.approx(expected[name], rel=1e-3) for name in theirs]
    assert scored.deviations["kid"] == pytest.approx(expected["kernel_inception_distance_std"], rel=1e-3)
    assert scored.deviations["inception-score"] == pytest.approx(expected["inception_score_std"], rel=1e-3)
    assert scored.scores["fid"] > 1
    assert scored.scores["inception-score"] > 1
