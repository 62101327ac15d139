"""Training on windows of larger pictures."""

from pathlib import Path

import numpy as np
import torch
from conftest import Command
from pictures_data import texts

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.events import Event, Notice
from cvae_cli.training.data import load_training_data

SMALL = ["--size", "16", "--set", "architecture.network.width=8", "--set", "architecture.latent_dim=2"]
SMALL += ["--set", "then.prior.width=8", "--set", "then.prior.blocks=1", "--set", "data.epoch_size=1"]
SMALL += ["--epochs", "1"]


def test_larger_pictures_go_with_the_small_ones(tmp_path: Path) -> None:
    changes = {"data.name": f"folder:{texts(tmp_path / 'pics', 30)}", "data.size": 16, "data.windows": 32}
    told: list[Event] = []
    train, validation = load_training_data(load_recipe("pictures", changes), torch.device("cpu"), callback=told.append)
    assert validation.larger is None
    assert train.larger is not None
    assert train.larger.image_shape.size == 32
    large = train.larger.images.reshape(len(train), 16, 2, 16, 2, 3).mean((2, 4))
    errors = np.abs(large[:, None] - train.images[None].astype(float)).mean((2, 3, 4))
    assert (errors.argmin(1) == np.arange(len(train))).all()
    notices = [event.text for event in told if isinstance(event, Notice)]
    assert len(notices) == len(set(notices))  # said once


def test_windows_are_learned_from_and_must_be_possible(cvae: Command, tmp_path: Path) -> None:
    data = f"folder:{texts(tmp_path / 'pics')}"
    models = []
    for name, changes in {"whole": [], "part": ["--set", "data.windows=32"]}.items():
        done = cvae("train", data, *SMALL, *changes, "--out", name)
        assert done.returncode == 0, done.stderr
        models.append((tmp_path / name / "model" / "model.safetensors").read_bytes())
    assert models[0] != models[1]
    for recipe, size, complaint in [
        ("fashion", "28", "data.windows needs larger pictures, and fashion-mnist has one size only"),
        (data, "64", "data.windows must be larger than the pictures, which have 64 pixels, not 32"),
    ]:
        done = cvae("train", recipe, "--size", size, "--set", "data.windows=32", "--dry-run")
        assert done.returncode == 2
        assert complaint in done.stderr
