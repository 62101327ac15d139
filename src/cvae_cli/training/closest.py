"""Choose the model that a training starts from by the pictures that it is to learn."""

from collections.abc import Sequence
from pathlib import Path

import torch

from cvae_cli.config.recipe import Recipe
from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.events import Callback, Notice
from cvae_cli.models.cvae import CVAE

_PICTURES, _BATCH = 64, 16


def closest(recipes: Sequence[Recipe], pictures: Dataset, device: torch.device, callback: Callback) -> Recipe:
    """Return the recipe whose start describes some pictures best: it has the lowest mean -ELBO of 64 of them.

    All processes must call this together.

    Args:
        recipes: alike but for their starts, none of which is None.
        pictures: with captions, which the models do not learn from.
    """
    batches = Batches(pictures.limit(_PICTURES), batch_size=_BATCH, device=device)
    recipe_of = {Path(recipe.start or "").name: recipe for recipe in recipes}
    bounds = {}
    for name, recipe in recipe_of.items():
        model = CVAE.from_pretrained(recipe.start or "", device=device)
        bound = evaluate_bound(model, batches, task=f"measuring {name}", callback=callback)
        bounds[name] = float(bound.negative_elbo.mean())
    best = min(bounds, key=bounds.__getitem__)
    each = ", ".join(f"{name} {bound:,.0f}" for name, bound in bounds.items())
    callback(Notice(f"starts from {best}, which describes them best (-ELBO: {each})"))
    return recipe_of[best]
