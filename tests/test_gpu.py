"""What a GPU changes. These tests run where there is one: `pytest -m gpu`, or `python benchmarks/gpu.py`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import FASHION
from helpers import captioned, data_for, fashion, small_model

from cvae_cli.data import batches
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.evaluation.evaluate import evaluate_model
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.runtime.device import computes_bf16, pick_device
from cvae_cli.training.objectives.latent_batches import LatentBatches
from cvae_cli.training.train import train

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and this machine has none"),
]

CPU, GPU = torch.device("cpu"), torch.device("cuda")
SMALL: dict[str, Any] = {"recipe": "fashion-concat", "data_dir": FASHION, "limit": 200, "batch_size": 20}


def test_auto_means_the_gpu_and_bf16() -> None:
    assert pick_device("auto").type == "cuda"
    assert computes_bf16(GPU) == (torch.cuda.get_device_capability() >= (8, 0))


@pytest.mark.parametrize("name", ["fashion", "emoji", "scenes"])
def test_pictures_are_those_of_the_cpu_within_one_grey_level(name: str) -> None:
    prompts = ["dress"] * 4 if name == "fashion" else ["a dog in the snow"] * 4
    drawn = {}
    for device in (CPU, GPU):
        model = CVAE.from_pretrained(name, device=device)
        drawn[device] = to_uint8(model.sample(model.condition(prompts), prompts=prompts)).cpu().int()
    assert (drawn[GPU] - drawn[CPU]).abs().max() <= 1


def test_a_picture_does_not_depend_on_how_many_are_drawn() -> None:
    model = CVAE.from_pretrained("fashion", device=GPU)
    together = model.sample(model.condition(["bag"] * 140), prompts=["bag"] * 140)
    alone = model.sample(model.condition(["bag"]), prompts=["bag"], indices=[139])
    assert torch.equal(alone[0], together[139])


@pytest.mark.parametrize("resident", [True, False])
@pytest.mark.parametrize("make", [fashion, captioned])
def test_batches_are_those_of_the_cpu(
    make: Callable[..., Dataset], resident: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = make(n=20)
    monkeypatch.setattr(batches, "_fits", lambda dataset, device: resident and device.type == "cuda")
    for (images, condition), (on_gpu, condition_on_gpu) in zip(
        *(Batches(data, batch_size=6, device=device, flip=True).epoch(0) for device in (CPU, GPU)), strict=True
    ):
        assert on_gpu.device.type == condition_on_gpu.device.type == "cuda"
        torch.testing.assert_close(on_gpu.cpu(), images, rtol=1e-6, atol=1e-6)
        assert torch.equal(condition_on_gpu.cpu(), condition)


def test_latents_leave_no_pictures_on_the_gpu() -> None:
    model = small_model("map-concat").to(GPU)
    data = fashion(n=64)
    before = torch.cuda.memory_allocated()
    latents = LatentBatches(model, data, batch_size=16, device=GPU)
    moments = sum(each.nbytes for each in latents._moments)
    assert torch.cuda.memory_allocated() - before <= moments + 4096


def test_bounds_and_scores_are_those_of_the_cpu() -> None:
    data = data_for("article-concat", n=24)
    bounds, scores = {}, {}
    for device in (CPU, GPU):
        model = small_model("article-concat").to(device)
        bounds[device] = evaluate_bound(model, Batches(data, batch_size=8, device=device)).negative_elbo
        scores[device] = evaluate_model(model, data, ["mse", "ssim", "psnr"]).scores
    torch.testing.assert_close(bounds[GPU].cpu(), bounds[CPU], rtol=1e-5, atol=1e-3)
    assert scores[GPU] == pytest.approx(scores[CPU], rel=1e-4)


def test_a_training_moves_to_the_gpu_and_back(tmp_path: Path) -> None:
    alone = train(**SMALL, precision="fp32", epochs=3, device="cpu", out=tmp_path / "alone")
    train(**SMALL, precision="fp32", epochs=1, device="cpu", out=tmp_path / "moved")
    train(resume=tmp_path / "moved", epochs=2, device="cuda")
    moved = train(resume=tmp_path / "moved", epochs=3, device="cpu")
    here, there = ([epoch["valid"]["negative_elbo"] for epoch in each.history] for each in (alone, moved))
    assert there[0] == here[0]
    assert there == pytest.approx(here, rel=0.05)  # a GPU has other noise


def test_the_same_training_gives_the_same_weights_again(tmp_path: Path) -> None:
    """On one kind of GPU a resumed training is, to rounding, one that was never stopped."""
    at_once = train(**SMALL, epochs=2, device="cuda", out=tmp_path / "at-once")
    train(**SMALL, epochs=1, device="cuda", out=tmp_path / "in-two")
    in_two = train(resume=tmp_path / "in-two", epochs=2, device="cuda")
    assert in_two.best_negative_elbo == pytest.approx(at_once.best_negative_elbo, rel=2e-3)


@pytest.mark.parametrize("recipe", ["fashion-concat", "fashion"])
def test_bf16_learns_what_fp32_learns(recipe: str, tmp_path: Path) -> None:
    settings = {**SMALL, "recipe": recipe, "epochs": 2, "prior": "none", "device": "cuda"}
    bounds = [
        train(**settings, precision=precision, out=tmp_path / precision).best_negative_elbo
        for precision in ("fp32", "bf16")
    ]
    assert bounds[1] == pytest.approx(bounds[0], abs=0.01 * 28 * 28)  # nats: a hundredth for each pixel
