"""Small models and data for tests of the library."""

from typing import Any

import numpy as np
from conftest import FASHION

from cvae_cli import recipes
from cvae_cli.data import Dataset, load_dataset
from cvae_cli.models import CVAE
from cvae_cli.training.fit import build_model

RESIDUAL = {
    "architecture.network": {"kind": "residual", "width": 16, "blocks": 1},
    "architecture.likelihood": {"kind": "gaussian"},
    "architecture.prior": {"kind": "flow", "layers": 3, "width": 32},
    "architecture.latent_dim": 10,
}
"""Changes to a recipe that give a small modern model."""

VARIANTS: dict[str, dict[str, Any]] = {
    "article-none": {"architecture.conditioning": "none"},
    "article-concat": {"architecture.conditioning": "concat"},
    "article-add": {"architecture.conditioning": "add"},
    "article-modulate": {"architecture.conditioning": "modulate"},
    "residual-none": {**RESIDUAL, "architecture.conditioning": "none"},
    "residual-concat": {**RESIDUAL, "architecture.conditioning": "concat"},
    "residual-add": {**RESIDUAL, "architecture.conditioning": "add"},
    "residual-modulate": {**RESIDUAL, "architecture.conditioning": "modulate"},
}
"""Every way to build a model, by name."""


def fashion(split: str = "train", n: int = 64) -> Dataset:
    """The first pictures of the small Fashion-MNIST that comes with the tests."""
    return load_dataset("fashion-mnist", split, data_dir=FASHION).limit(n)


def small_model(variant: str = "article-concat") -> CVAE:
    """An untrained model, ready to sample; its last layers are not zero, so that everything has an effect."""
    import torch

    model = build_model(recipes.load("fashion-concat", VARIANTS[variant]), fashion(n=8))
    torch.manual_seed(1)
    for parameter in model.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return model.eval()


def same(a: Any, b: Any) -> bool:
    """Whether two arrays are equal to the bit."""
    return np.asarray(a).tobytes() == np.asarray(b).tobytes()
