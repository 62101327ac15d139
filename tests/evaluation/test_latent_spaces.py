"""Latent spaces: the linear probe, the plane, and the figure."""

from pathlib import Path

import numpy as np
import pytest
from conftest import FASHION
from helpers import Listener, captioned, small_model
from PIL import Image

from cvae_cli import CVAE
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.latents import LatentSpace, LatentSpaces, latent_spaces
from cvae_cli.evaluation.latents.figure import draw_latents
from cvae_cli.evaluation.latents.probe import linear_probe
from cvae_cli.evaluation.latents.projection import project
from cvae_cli.models.latents import DatasetLatents
from cvae_cli.pictures.figure import encode_figure

RANDOM = np.random.default_rng(0)


def make_latents(values: np.ndarray, labels: np.ndarray | None, classes: tuple[str, ...]) -> DatasetLatents:
    texts = [classes[label] for label in labels] if labels is not None else ["a, b"] * len(values)
    values = values.astype(np.float32)
    return DatasetLatents("m", "d", "test", np.arange(len(values)), values, values, texts, labels, classes)


def test_a_probe_reads_classes_that_lie_apart_and_not_those_that_do_not():
    labels = RANDOM.integers(0, 4, 400)
    noise = RANDOM.normal(size=(400, 6)).astype(np.float32)
    apart = linear_probe(noise + 8 * np.eye(6, dtype=np.float32)[labels], labels)
    mixed = linear_probe(noise, labels)
    assert apart is not None
    assert mixed is not None
    assert apart.accuracy == 1
    assert abs(mixed.accuracy - 0.25) < 0.07
    assert apart.chance == np.bincount(labels).max() / 400
    assert apart.pictures == 400


def test_a_probe_is_measured_on_pictures_that_it_was_not_fitted_to():
    labels = RANDOM.integers(0, 2, 60)
    many = RANDOM.normal(size=(60, 200)).astype(np.float32)  # more numbers than pictures: fitted ones are all read
    probe = linear_probe(many, labels)
    assert probe is not None
    assert probe.accuracy < 0.8


@pytest.mark.parametrize("labels", [[0, 0, 0, 0], [0, 1, 2, 3], [0, 0, 0, 1]])
def test_a_probe_needs_two_classes_of_two_pictures(labels: list[int]):
    assert linear_probe(RANDOM.normal(size=(4, 3)).astype(np.float32), np.array(labels)) is None


def test_a_class_of_one_picture_is_left_out():
    labels = np.array([0] * 10 + [1] * 10 + [2])
    probe = linear_probe(np.eye(3, dtype=np.float32)[labels], labels)
    assert probe is not None
    assert (probe.accuracy, probe.chance, probe.pictures) == (1, 0.5, 20)


@pytest.mark.parametrize("method", ["tsne", "pca"])
def test_neighbours_lie_together_in_the_plane(method):
    labels = np.repeat([0, 1], 15)
    values = RANDOM.normal(size=(30, 5)).astype(np.float32) + 20 * labels[:, None].astype(np.float32)
    points = project(values, method, seed=0)
    distances = np.linalg.norm(points[:, None] - points[None], axis=2) + np.diag(np.full(30, np.inf))
    assert (labels[distances.argmin(1)] == labels).all()
    assert np.array_equal(points, project(values, method, seed=0))


@pytest.mark.parametrize("method", ["tsne", "pca"])
@pytest.mark.parametrize("values", [np.ones((6, 3)), RANDOM.normal(size=(6, 1)), RANDOM.normal(size=(4, 2))])
def test_any_latents_have_a_place(method, values: np.ndarray):
    points = project(values.astype(np.float32), method, seed=0)
    assert points.shape == (len(values), 2)
    assert np.isfinite(points).all()


@pytest.mark.parametrize(("models", "classes"), [(1, 1), (2, 10), (5, 60)])
def test_a_figure_has_a_panel_for_each_model_and_a_legend_of_the_classes(models: int, classes: int):
    labels = np.arange(70) % classes
    shown = make_latents(RANDOM.normal(size=(70, 2)), labels, tuple(f"${c}_" for c in range(classes)))
    probe = linear_probe(shown.samples, labels)
    panels = [(f"model {number}", shown.means.astype(float), probe) for number in range(models)]
    sheet = draw_latents(panels, shown, title="all")
    assert [axes.get_title() for axes in sheet.axes] == [f"model {number}" for number in range(models)]
    if classes > 1:
        assert f"{probe.accuracy:.3f}" in sheet.axes[0].get_xlabel()
    entries = [text.get_text() for legend in sheet.legends for text in legend.get_texts()]
    assert entries == ([f"${c}_" for c in range(classes)] if classes <= 40 else [])
    assert encode_figure(sheet, Path("x.png"))


def test_many_classes_of_few_pictures_are_read_and_have_no_legend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("CVAE_HOME", str(tmp_path / "cache"))
    for number in range(84):
        path = tmp_path / "many" / f"_{number // 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(RANDOM.integers(0, 256, (16, 16, 3), np.uint8)).save(path)
    listener = Listener()
    model = small_model("captioned-residual-concat")
    dataset = f"folder:{tmp_path / 'many'}"
    spaces = latent_spaces(model, method="pca", dataset=dataset, split="train", callback=listener)
    assert spaces.spaces[0].probe is not None
    assert any("no legend: there are 42 classes" in notice for notice in listener.notices)


def test_captions_have_no_probe_and_are_written_as_they_are():
    model = small_model("captioned-residual-concat")
    latents = model.latents(captioned(12), n=12)
    space = LatentSpace("m", latents, project(latents.means, "pca", seed=0), None)
    spaces = LatentSpaces([space], "pca", 0)
    assert spaces.to_dict()["models"][0]["probe_accuracy"] is None
    assert spaces.csv().split("\n")[0] == "model,picture,caption,x,y"
    commas = make_latents(latents.means, None, ())
    assert ',"a, b",' in LatentSpaces([LatentSpace("m", commas, space.points, None)], "pca", 0).csv()
    assert encode_figure(spaces.figure(), Path("x.png"))


def test_models_are_compared_on_the_same_pictures(quick_model: Path):
    listener = Listener()
    model = small_model("article-none")
    spaces = latent_spaces([model, quick_model], method="pca", n=30, data_dir=FASHION, callback=listener)
    assert [space.label for space in spaces.spaces] == [model.config.name, "quick"]
    loaded = CVAE.from_pretrained(quick_model)  # which is called as it was when it was loaded
    assert latent_spaces(loaded, method="pca", n=10, data_dir=FASHION).spaces[0].label == "quick"
    first, second = (space.latents for space in spaces.spaces)
    assert first.rows.tolist() == second.rows.tolist()
    assert first.texts == second.texts
    assert listener.progress[:2] == [(0, 30), (30, 30)]
    assert listener.notices == []
    with pytest.raises(UsageError, match="too few"):
        latent_spaces(model, n=3, data_dir=FASHION)
