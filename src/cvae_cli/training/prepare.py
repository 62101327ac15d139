"""From a recipe to the pictures that it learns from. What is wrong is found before anything large is fetched."""

from pathlib import Path

import torch

from cvae_cli.config.model import Condition, ImageShape, LabelClass, LabelCondition
from cvae_cli.config.recipe import Recipe
from cvae_cli.data.catalog import has_classes, load_dataset, shape_of
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import with_conditions
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.training.build import build_model, build_objective

_ANY_CLASSES = LabelCondition(classes=(LabelClass(name="any", words=("any",)),))


def load_data(recipe: Recipe, device: torch.device, *, callback: Callback) -> tuple[Dataset, Dataset]:
    """The pictures to learn from, with their conditions, and those held back.

    Raises:
        UsageError: the recipe asks for what the data does not have, or its parts do not fit each other.
        MissingError, CorruptError: data, or a text encoder, cannot be had or is damaged.
    """
    data = recipe.data
    encoder = _encoder(recipe, device, callback)
    condition = encoder.settings if encoder else _ANY_CLASSES
    _check_network(recipe, shape_of(data.name, data.size), condition)
    whole = load_dataset(
        data.name,
        "train",
        size=data.size,
        limit=data.limit,
        data_dir=Path(data.dir) if data.dir else None,
        callback=callback,
    )
    whole = with_conditions(whole, encoder, callback=callback)
    return whole.divide(data.holdout, recipe.training.seed)


def _encoder(recipe: Recipe, device: torch.device, callback: Callback) -> TextEncoder | None:
    """The text encoder that a recipe needs; none for labels."""
    by, classes = recipe.data.condition, has_classes(recipe.data.name)
    if by == "labels" and not classes:
        raise UsageError(
            f"{recipe.data.name} has captions, no classes", hint="learn from the captions:  --condition static"
        )
    if by == "labels" or (by is None and classes):
        return None
    return load_encoder(by or "static", callback, device)


def _check_network(recipe: Recipe, shape: ImageShape, condition: Condition) -> None:
    """Build what each training needs once, for the errors that it may raise."""
    build_objective(recipe, build_model(recipe, recipe.data.name, shape, condition))
    if (following := recipe.next_stage()) is not None:
        build_model(following, recipe.data.name, shape, condition)
