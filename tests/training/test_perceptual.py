"""Training with the bound and a distance in the features of a frozen network."""

import json
from pathlib import Path

import pytest
import torch
from conftest import FASHION, Command
from helpers import data_for, small_model
from test_fit import CPU, Recorder, data, start, weights
from torch import nn

from cvae_cli.models.pretrained import read_config
from cvae_cli.runtime.randomness import BatchRandom
from cvae_cli.training.fit import fit
from cvae_cli.training.frozen import Frozen, Vgg16
from cvae_cli.training.objectives.perceptual import PerceptualObjective, feature_distance, look_anew

OWN = """
import torch

class Maps(torch.nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.read = torch.nn.Conv2d(3, 6, 3, stride=2)

    def forward(self, images):
        x = self.read(images)
        return [x, torch.nn.functional.avg_pool2d(x, 2)]

def flat(images):
    return [images.flatten(1)]
"""


def test_distance_is_between_directions_of_channels() -> None:
    torch.manual_seed(0)
    maps = [torch.randn(4, 5, 3, 3), torch.randn(4, 2, 2, 2)]
    expected = torch.zeros(2)
    for weight, each in zip((4, 2), maps, strict=True):
        cosines = nn.functional.cosine_similarity(each[:2], each[2:], dim=1)
        expected += weight * (2 - 2 * cosines).mean((1, 2))
    torch.testing.assert_close(feature_distance(maps), expected, atol=1e-4, rtol=1e-4)
    assert feature_distance([torch.cat([maps[0], 3 * maps[0]])]).max() < 1e-6
    assert feature_distance([each.bfloat16() for each in maps]).dtype == torch.float32


def test_pictures_are_shifted_and_enlarged_alike() -> None:
    ramp = torch.arange(256.0).view(1, 1, 16, 16).expand(2, 1, 16, 16)
    torch.manual_seed(0)
    views = [look_anew(ramp, BatchRandom()) for _ in range(300)]
    assert all(torch.equal(a, b) for a, b in views)
    assert {view.shape[-1] for view in views} == {16, 20, 24}
    centres = [int(view[0, 0, 8, 8]) for view in views if view.shape[-1] == 16]
    assert {each % 16 for each in centres} == {each // 16 for each in centres} == {5, 6, 7, 8, 9, 10, 11}
    five_pixels = [view[0, 0, 8, 12] - view[0, 0, 8, 7] for view in views if view.shape[-1] == 20]
    torch.testing.assert_close(
        torch.stack(five_pixels), torch.full((len(five_pixels),), 4.0), atol=1e-3, rtol=0
    )  # of the picture's
    white = [look_anew(torch.ones(2, 1, 16, 16), BatchRandom()) for _ in range(20)]
    assert all((view - 1).abs().max() < 1e-6 for view in white)  # borders are reflected, not black


def test_the_model_learns_and_the_network_does_not() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3))
    frozen = Frozen("own", lambda images: [network(images)])
    network.requires_grad_(False)
    model, few = small_model("map-modulate").train(), data_for("map-modulate", 4)
    objective = PerceptualObjective(model, 2.0, 0.0, frozen)
    images = torch.from_numpy(few.images).permute(0, 3, 1, 2) / 255
    losses = objective.losses(images, torch.from_numpy(few.conditions.values(few.rows)))
    losses[:, 2].sum().backward()
    assert losses.shape == (4, 3)
    assert all(each.grad is None for each in network.parameters())
    assert any(each.grad is not None and each.grad.any() for each in model.network.parameters())
    assert objective.total(torch.tensor([[1.0, 10.0, 100.0]]), beta=3.0).tolist() == [3 * 1 + 10 + 2 * 100]


def test_processes_that_share_a_batch_see_the_same_views() -> None:
    network = nn.Conv2d(3, 4, 3).requires_grad_(False)
    objective = PerceptualObjective(
        small_model("map-modulate").train(), 1.0, 0.0, Frozen("own", lambda x: [network(x)])
    )
    few = data_for("map-modulate", 8)
    images = torch.from_numpy(few.images).permute(0, 3, 1, 2) / 255
    condition = torch.from_numpy(few.conditions.values(few.rows))
    distances = []
    for rank, size in ((0, 1), *((rank, 8) for rank in range(8))):
        objective.random = BatchRandom(rank, size)
        torch.manual_seed(0)
        rows = slice(rank * 8 // size, (rank + 1) * 8 // size)
        distances.append(objective.losses(images[rows], condition[rows])[:, 2])
    torch.testing.assert_close(torch.cat(distances[1:]), distances[0], rtol=1e-4, atol=0)


def test_vgg16_is_torchvisions() -> None:
    from torchvision.models.vgg import cfgs, make_layers

    torch.manual_seed(0)
    theirs, ours = make_layers(cfgs["D"]), Vgg16()
    ours.load(
        {f"features.{name}": each for name, each in theirs.state_dict().items()} | {"classifier.0.bias": torch.ones(1)}
    )
    images = torch.rand(1, 3, 32, 32)
    x, expected = (images - ours.mean) / ours.deviation, []
    with torch.no_grad():
        for number, layer in enumerate(theirs):
            x = layer(x)
            if number in (3, 8, 15, 22, 29):
                expected.append(x.clone())
        for one, other in zip(ours(images), expected, strict=True):
            torch.testing.assert_close(one, other)


@pytest.mark.usefixtures("no_grids")
def test_a_broken_run_goes_on_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "frozen_maps.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    terms = {"training.features": "frozen_maps:Maps", "training.perceptual": 0.5, "training.epochs": 2}
    terms |= {"training.batch_size": 16}
    pictures = data_for("map-modulate", 32), data_for("map-modulate", 4)
    whole = start(tmp_path / "whole", terms, "map-modulate")
    recorder = Recorder()
    fit(whole, whole.recipe(), *pictures, device=CPU, resume=False, callback=recorder)
    assert list(recorder.results[-1].losses) == ["rate", "distortion", "perceptual"]
    assert recorder.results[1].losses["perceptual"] < recorder.results[0].losses["perceptual"]
    broken = start(tmp_path / "broken", terms, "map-modulate")
    with pytest.raises(ConnectionError):
        fit(broken, broken.recipe(), *pictures, device=CPU, resume=False, callback=Recorder(stop_after=1))
    fit(broken, broken.recipe(), *pictures, device=CPU, resume=True, callback=Recorder())
    assert weights(broken) == weights(whole)
    assert read_config(whole.kept_model).hybrid
    card = (whole.kept_model / "README.md").read_text()
    assert "hybrid: the bound and the features of frozen_maps:Maps (perceptual 0.5)" in card


@pytest.mark.usefixtures("no_grids")
def test_half_precision_sees_the_same_distances(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "half_maps.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    distances = []
    for precision in ("fp32", "bf16"):
        terms = {"training.features": "half_maps:Maps", "training.perceptual": 0.5, "training.epochs": 1}
        run = start(tmp_path / precision, terms | {"training.precision": precision}, "map-modulate")
        recorder = Recorder()
        fit(run, run.recipe(), *data("map-modulate"), device=CPU, resume=False, callback=recorder)
        distances.append(recorder.results[-1].losses["perceptual"])
    assert distances[1] == pytest.approx(distances[0], rel=0.02)
    assert distances[1] != distances[0]


def test_command_says_that_the_model_is_a_hybrid_and_refuses_what_has_no_effect(cvae: Command, tmp_path: Path) -> None:
    (tmp_path / "own_maps.py").write_text(OWN)
    base = ["train", "fashion-concat", "--data-dir", str(FASHION), "--limit", "40", "--epochs", "1", "--out", "run"]
    done = cvae(*base, "--set", "training.features=own_maps:Maps", "--set", "training.perceptual=0.1")
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("hybrid") == 1
    assert json.loads((tmp_path / "run" / "model" / "config.json").read_text())["hybrid"]
    for settings, code, complaint in [
        (["features=vgg17", "perceptual=1"], 2, 'no features "vgg17" to train with. Did you mean "vgg16"?'),
        (["features=vgg16"], 2, "training.features needs training.perceptual"),
        (
            ["features=vgg16", "perceptual=1", "adversarial=1"],
            2,
            "give either training.features or training.adversarial",
        ),
        (["features=own_maps:flat", "perceptual=1"], 2, "own_maps:flat returned no list of feature maps"),
        (["features=vgg16", "perceptual=1"], 3, "cvae download-weights vgg16"),
    ]:
        changes = [part for each in settings for part in ("--set", f"training.{each}")]
        done = cvae(*base, "--force", *changes)
        assert done.returncode == code, done.stderr
        assert complaint in done.stderr
