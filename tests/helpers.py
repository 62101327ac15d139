"""Small models and data for tests of the library."""

import contextlib
import warnings
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
import torch
from conftest import FASHION

from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.data.catalog import load_dataset
from cvae_cli.data.conditions import make_captions
from cvae_cli.data.dataset import Dataset, dataset_from_pixels
from cvae_cli.events import Event, Notice, Progress
from cvae_cli.models.cvae import CVAE
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import condition_config, with_conditions
from cvae_cli.training.build import build_model

ARTICLE = {"architecture.latent_dim": 16}
"""Changes to a recipe for the article's network with a quarter of its weights."""

RESIDUAL = {
    "architecture.network": {"kind": "residual", "width": 8, "blocks": 1},
    "architecture.likelihood": {"kind": "gaussian"},
    "architecture.prior": {"kind": "flow", "layers": 2, "width": 16},
    "architecture.latent_dim": 10,
}
"""Changes to a recipe for a small modern model."""

MAP: dict[str, Any] = {
    "architecture.network": {"kind": "residual", "width": 8, "blocks": 1, "latent": "map"},
    "architecture.likelihood": {"kind": "gaussian"},
    "architecture.latent_dim": 3,
}
"""Changes to a recipe for a small model with a map of latents."""

SCORE = {"architecture.prior": {"kind": "score", "width": 16, "blocks": 1, "condition_width": 8, "steps": 3}}

ATTENTIVE = {
    "architecture.prior": SCORE["architecture.prior"]
    | {"width": 32, "blocks": 2, "attention": True, "guidance_input": True, "guidance": 2.0, "guided": (0.1, 0.9)}
    | {"step_input": True, "solver_order": 1}
}
"""Changes to a recipe for a small prior with attention, which has the guidance scale and the step as inputs."""

DENSE = {
    "architecture.network": {"kind": "dense", "width": 32, "layers": 2},
    "architecture.likelihood": {"kind": "gaussian"},
    "architecture.prior": {"kind": "flow", "layers": 2, "width": 16},
    "architecture.latent_dim": 6,
}
"""Changes to a recipe for a small fully connected model."""

PHOTO = {
    "architecture.network": {"kind": "article", "condition_width": 24},
    "architecture.latent_dim": 12,
}
"""Changes to a recipe for a small network for photographs."""

VARIANTS: dict[str, dict[str, Any]] = {
    "article-none": {**ARTICLE, "architecture.conditioning": "none"},
    "article-concat": {**ARTICLE, "architecture.conditioning": "concat"},
    "article-add": {**ARTICLE, "architecture.conditioning": "add"},
    "article-modulate": {**ARTICLE, "architecture.conditioning": "modulate"},
    "residual-none": {**RESIDUAL, "architecture.conditioning": "none"},
    "residual-concat": {**RESIDUAL, "architecture.conditioning": "concat"},
    "residual-add": {**RESIDUAL, "architecture.conditioning": "add"},
    "residual-modulate": {**RESIDUAL, "architecture.conditioning": "modulate"},
    "map-none": {**MAP, "architecture.conditioning": "none"},
    "map-concat": {**MAP, "architecture.conditioning": "concat"},
    "map-add": {**MAP, "architecture.conditioning": "add", "architecture.likelihood": {"kind": "logistic"}},
    "map-modulate": {**MAP, "architecture.conditioning": "modulate"},
    "map-flow": {**MAP, "architecture.prior": RESIDUAL["architecture.prior"]},
    "map-score": {**MAP, **SCORE, "architecture.conditioning": "modulate"},
    "map-full": {
        **MAP,
        "architecture.network": MAP["architecture.network"] | {"full_width": 8},
        "architecture.conditioning": "modulate",
    },
    "map-attentive": {**MAP, **ATTENTIVE, "architecture.conditioning": "modulate"},
    "vector-score": {**RESIDUAL, **SCORE, "architecture.conditioning": "concat"},
    "dense-none": {**DENSE, "architecture.conditioning": "none"},
    "dense-concat": {**DENSE, "architecture.conditioning": "concat"},
    "dense-add": {**DENSE, "architecture.conditioning": "add"},
    "dense-modulate": {**DENSE, "architecture.conditioning": "modulate"},
    "photo-none": {**PHOTO, "architecture.conditioning": "none"},
    "photo-concat": {**PHOTO, "architecture.conditioning": "concat"},
    "photo-add": {**PHOTO, "architecture.conditioning": "add"},
    "photo-modulate": {**PHOTO, "architecture.conditioning": "modulate"},
    "captioned-residual-none": {**RESIDUAL, "architecture.conditioning": "none"},
    "captioned-residual-concat": {**RESIDUAL, "architecture.conditioning": "concat"},
    "captioned-residual-modulate": {**RESIDUAL, "architecture.conditioning": "modulate"},
    "captioned-map-score": {**MAP, **SCORE, "architecture.conditioning": "modulate"},
}
"""All variants of a model by name, as changes to a recipe."""

CAPTIONS = [
    ["two dogs on a beach", "dogs play by the sea"],
    ["snow on a mountain"],
    ["a red car", "a parked car", "traffic"],
]


class Listener:
    """A callback that records notices and progress."""

    def __init__(self) -> None:
        self.notices: list[str] = []
        self.progress: list[tuple[float, float | None]] = []

    def __call__(self, event: Event) -> None:
        if isinstance(event, Notice):
            self.notices.append(event.text)
        elif isinstance(event, Progress):
            self.progress.append((event.done, event.total))


@cache
def fashion(split: str = "train", n: int = 64) -> Dataset:
    """Return the first pictures of the small Fashion-MNIST in tests/data."""
    return load_dataset("fashion-mnist", split, data_dir=FASHION).limit(n)


@cache
def captioned(n: int = 64, size: int = 16) -> Dataset:
    """Return coloured pictures with captions, encoded by the embedded text encoder."""
    pixels = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), np.uint8)
    captions = make_captions([CAPTIONS[index % len(CAPTIONS)] for index in range(n)])
    return with_conditions(dataset_from_pixels("captioned", "train", pixels, captions, "none"), load_encoder("static"))


def data_for(variant: str, n: int = 8) -> Dataset:
    """Return pictures of the kind that a variant is trained on."""
    return captioned(n) if variant.startswith(("photo", "captioned")) else fashion(n=n)


def small_model(variant: str = "article-concat", changes: Mapping[str, Any] | None = None) -> CVAE:
    """Build an untrained model in eval mode. Weights that are zero become random, so that they have an effect.

    Args:
        changes: to the recipe of the variant.
    """
    import torch

    data = data_for(variant)
    recipe = load_recipe("fashion-concat", VARIANTS[variant] | (changes or {}))
    model = build_model(recipe, data.name, data.image_shape, condition_config(data))
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval().to(memory_format=torch.channels_last)  # as `CVAE.from_pretrained` has it


@contextlib.contextmanager
def other_arithmetic() -> Iterator[None]:
    """Compute without oneDNN: the same functions, whose rounding errors are others."""
    with warnings.catch_warnings(action="ignore"), torch.backends.mkldnn.flags(enabled=False):
        yield


def same(a: Any, b: Any) -> bool:
    """Return whether two arrays are bit-identical."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
