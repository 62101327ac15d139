"""Ways through the latent space, and the latents of a data set."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import FASHION
from helpers import Listener, fashion, same, small_model

from cvae_cli.bulk.strip import traversal
from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.models import interpolation
from cvae_cli.models.condition import LabelTable
from cvae_cli.models.cvae import CVAE
from cvae_cli.models.interpolation import arc, line, pictures_along
from cvae_cli.pictures.grid import to_pil

NINE = torch.linspace(0, 1, 9)


def test_an_arc_keeps_the_length_and_equal_angles():
    start, end = torch.tensor([[3.0, 0.0, 0.0]]), torch.tensor([[0.0, 3.0, 0.0]])
    points = arc(start, end, NINE)
    assert same(points[0], start[0])
    assert same(points[-1], end[0])
    assert torch.allclose(points.norm(dim=1), torch.tensor(3.0))
    assert torch.allclose(torch.atan2(points[:, 1], points[:, 0]), NINE * torch.pi / 2, atol=1e-6)


def test_the_lengths_of_an_arc_go_from_one_to_the_other():
    points = arc(torch.tensor([[1.0, 0.0]]), torch.tensor([[0.0, 2.0]]), NINE)
    assert torch.allclose(points.norm(dim=1), 1 + NINE)


@pytest.mark.parametrize("end", [[2.0, 0.0], [-1.0, 0.0], [0.0, 0.0]])
def test_an_arc_between_points_without_an_angle_is_a_line(end: list[float]):
    start, last = torch.tensor([[1.0, 0.0]]), torch.tensor([end])
    assert same(arc(start, last, NINE), line(start, last, NINE))


def test_a_mixture_of_classes_has_the_mixture_of_their_vectors():
    table = LabelTable(3, 4)
    mixture = table(torch.tensor([[0.0, 0.25, 0.75]]))
    assert torch.allclose(mixture, 0.25 * table.weight[1] + 0.75 * table.weight[2])
    assert same(table(torch.tensor([[0.0, 1.0, 0.0]])).detach(), table(torch.tensor([1])).detach())


@pytest.mark.parametrize("variant", ["article-concat", "residual-modulate", "map-score", "captioned-residual-concat"])
def test_the_same_noise_leads_from_prompt_to_prompt(variant: str):
    model = small_model(variant)
    ends = ["dress", "bag"] if not variant.startswith("captioned") else ["two dogs on a beach", "a red car"]
    way = model.interpolate(*ends, steps=5, seed=2)
    drawn = [model.generate(end, seed=2, same_noise=True)[0] for end in ends]
    assert [same(way[0], drawn[0]), same(way[-1], drawn[1])] == [True, True]
    steps = [np.abs(np.asarray(a, int) - np.asarray(b, int)).mean() for a, b in pairwise(way)]
    whole = np.abs(np.asarray(way[0], int) - np.asarray(way[-1], int)).mean()
    assert max(steps) < whole  # no jump


def test_a_model_without_a_condition_leads_from_noise_to_noise():
    model = small_model("article-none")
    way = model.interpolate("dress", "bag", steps=3)
    assert same(way[0], model.generate("dress")[0])
    assert same(way[2], model.generate("bag")[0])
    assert not same(way[0], way[2])
    assert len(model.traverse(3, steps=4)) == 4  # and needs no prompt


def test_latents_of_pictures_are_joined_by_an_arc_only_where_they_are_normal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data = fashion()
    for number, row in enumerate(data.images[:2, :, :, 0]):
        to_pil(torch.from_numpy(row)[None, None] / 255)[0].save(tmp_path / f"{number}.png")
    paths = [tmp_path / "0.png", tmp_path / "1.png"]
    images = torch.from_numpy(data.images[:2]).permute(0, 3, 1, 2) / 255
    condition = torch.tensor([0, 0])
    decoded: list[torch.Tensor] = []

    def decode(model: CVAE, latents: torch.Tensor, condition: torch.Tensor, _: object) -> torch.Tensor:
        decoded.append(latents)
        return model.decode(latents, condition)

    monkeypatch.setattr(interpolation, "_decode", decode)
    for variant, way, other in (("article-concat", arc, line), ("residual-concat", line, arc)):
        model = small_model(variant)
        start, end = model.encode(images, condition)
        assert len(model.interpolate(*paths, prompt="t-shirt", steps=3)) == 3
        wanted, else_ = (each(start[None], end[None], torch.linspace(0, 1, 3)) for each in (way, other))
        torch.testing.assert_close(decoded.pop(), wanted, atol=1e-4, rtol=1e-4)
        assert (wanted - else_).abs().max() > 1e-3


def test_a_traversal_moves_one_number_from_minus_three_to_three():
    model = small_model("article-concat")
    condition, noise = torch.tensor([3]), torch.randn(1, *model.latent_shape)
    latents = noise.repeat(3, 1)
    latents[:, 7] = torch.tensor([-3.0, 0.0, 3.0])
    moved = pictures_along(model, condition, noise, 7, steps=3)
    assert torch.allclose(moved, model.decode(latents, condition.expand(3)), atol=1e-5)


def test_a_traversal_of_a_fitted_prior_moves_a_channel_as_far_as_its_samples_lie(monkeypatch: pytest.MonkeyPatch):
    model = small_model("map-score")
    condition, noise = torch.tensor([3]), torch.randn(1, *model.latent_shape)
    seen: list[torch.Tensor] = []
    decode = model.decode
    monkeypatch.setattr(model, "decode", lambda z, c: seen.append(z[:3]) or decode(z, c))
    pictures_along(model, condition, noise, 1, steps=3)
    with torch.inference_mode():
        start = model.prior.from_noise(noise, condition)
        many = model.prior.from_noise(torch.randn(500, *model.latent_shape), condition.expand(500))[:, 1].mean((1, 2))
    means = seen[0][:, 1].mean((1, 2))
    assert means[1].item() == pytest.approx(many.mean().item(), abs=many.std().item() / 2)
    assert (means[2] - means[1]).item() == pytest.approx(3 * many.std().item(), rel=0.4)
    assert torch.allclose(seen[0][:, 0], start[:, 0].expand(3, -1, -1))  # the other channels stay
    centred = seen[0][:, 1] - means[:, None, None]
    assert torch.allclose(centred, (start[0, 1] - start[0, 1].mean()).expand(3, -1, -1), atol=1e-5)


def test_latents_of_a_data_set_are_those_of_its_pictures():
    model = small_model("article-concat")
    data = fashion("test", 40)
    latents = model.latents(data, n=10, seed=1)
    images = torch.from_numpy(data.images[latents.rows]).permute(0, 3, 1, 2) / 255
    labels = torch.from_numpy(data.conditions.values(latents.rows))
    assert np.allclose(latents.means, model.encode(images, labels), atol=1e-5)
    assert latents.labels is not None
    assert latents.labels.tolist() == labels.tolist()
    assert latents.texts == [latents.classes[label] for label in labels]
    deviations = np.abs(latents.samples - latents.means) / model.posterior(images, labels).stddev.detach().numpy()
    assert 0.6 < deviations.mean() < 1  # 0.8 for normal noise
    named = model.latents("fashion-mnist", split="test", n=10_000, data_dir=FASHION)
    assert np.allclose(named.means[latents.rows], latents.means, atol=1e-5)


def test_latents_that_are_no_numbers_are_said():
    model = small_model("article-concat")
    with torch.no_grad():
        next(model.network.parameters()).fill_(float("nan"))
    with pytest.raises(CorruptError, match="not finite numbers"):
        model.latents(fashion("test", 8))


def test_latents_of_pictures_of_another_size_are_refused() -> None:
    data = fashion("test", 8)
    smaller = replace(data, pixels=data.pixels[:, :14, :14])
    with pytest.raises(UsageError, match="draws 28x28 grey pictures; fashion-mnist has 14x14 grey ones"):
        small_model().latents(smaller)


def test_bounds():
    model = small_model("dense-concat")
    for call in (
        lambda: model.interpolate("bag", "dress", steps=1),
        lambda: model.traverse(6, "bag"),
        lambda: model.traverse(0),
        lambda: model.interpolate("bag", "dress", prompt="bag"),
    ):
        with pytest.raises(UsageError):
            call()


def test_a_long_way_reports_its_progress():
    model, listener = small_model("article-concat"), Listener()
    model.traverse(1, "dress", steps=20, callback=listener)
    assert listener.progress == [(16, 20), (20, 20)]
    rows = Listener()
    traversal(model, 1, ["dress", "bag"], steps=32, callback=rows)
    assert rows.progress == [(0, 2), (0.5, 2), (1, 2), (1, 2), (1.5, 2), (2, 2)]
