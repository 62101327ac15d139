"""Load the pictures that a recipe trains on. Most mistakes are found before anything large is downloaded."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from cvae_cli.config.condition import ConditionSettings, LabelClass, LabelCondition
from cvae_cli.config.model import ImageShape
from cvae_cli.config.recipe import Recipe
from cvae_cli.data.catalog import load_dataset, shape_of, validation_split
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.stream_source import open_stream
from cvae_cli.errors import MissingError, UsageError, quoted
from cvae_cli.events import Callback, Event, Notice, Progress
from cvae_cli.text.catalog import load_encoder
from cvae_cli.text.condition import with_conditions
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.training.build import build_model, build_objective
from cvae_cli.training.look import check_windows, choose_encoder

_MAX_NAMED = 10  # classes that a warning names
_PLACEHOLDER_LABELS = LabelCondition(classes=(LabelClass(name="any", words=("any",)),))


def load_training_data(recipe: Recipe, device: torch.device, *, callback: Callback) -> tuple[Dataset, Dataset]:
    """Load the training pictures and the validation pictures of a recipe, with their conditions.

    A folder's own validation split is used where it has one; otherwise training pictures are held out.

    Args:
        device: where a text encoder encodes captions.

    Raises:
        UsageError: the data does not have what the recipe asks for, or the recipe's parts do not fit each other.
        MissingError: the data or a text encoder cannot be downloaded.
        CorruptError: the data or a text encoder is damaged.
    """
    data = recipe.data
    check_windows(recipe)
    encoder = _load_encoder(recipe, device, callback)
    condition = encoder.settings if encoder else _PLACEHOLDER_LABELS
    _check_models(recipe, shape_of(data.name, data.size), condition, callback)

    def load(split: str, limit: int | None) -> tuple[Dataset, Dataset]:
        """Return a split with its own conditions, and with those that the model learns."""
        folder = Path(data.dir) if data.dir else None
        loaded = load_dataset(data.name, split, size=data.size, limit=limit, data_dir=folder, callback=callback)
        return loaded, with_conditions(loaded, encoder, callback=callback)

    if data.stream:
        return _open_stream(recipe, encoder, load, callback)
    loaded, train = load("train", data.limit)
    if data.windows is not None:
        train = replace(train, larger=_load_larger(recipe, loaded, callback))
    split = validation_split(data.name)
    if split is not None:
        _, validation = load(split, data.limit and max(1, data.limit // 10))
    else:
        kept, held_out = loaded.division(data.holdout, recipe.training.seed)
        loaded, train, validation = loaded.take(kept), train.take(kept), replace(train, larger=None).take(held_out)
    _notify_unseen(loaded, callback)
    return train, validation


def _open_stream(
    recipe: Recipe,
    encoder: TextEncoder | None,
    load: Callable[[str, int | None], tuple[Dataset, Dataset]],
    callback: Callback,
) -> tuple[Dataset, Dataset]:
    """Return a stream of training pictures and the validation pictures, with their conditions."""
    data = recipe.data
    if data.dir:
        raise UsageError("the place of shards is in their name", hint="leave out --data-dir")
    train, validation = open_stream(
        data.name,
        size=data.size,
        limit=data.limit,
        holdout=data.holdout,
        buffer=data.buffer,
        readers=data.readers,
        callback=callback,
    )
    train, validation = (with_conditions(each, encoder, callback=callback) for each in (train, validation))
    split = validation_split(data.name)
    if split is not None:
        _, validation = load(split, min(data.holdout, data.limit or data.holdout))
    return train, validation


def _load_larger(recipe: Recipe, loaded: Dataset, callback: Callback) -> Dataset:
    """Load the training pictures once more, in the size of which windows are shown."""

    def forward_progress(event: Event) -> None:
        if isinstance(event, Progress):  # everything else was said when they were loaded first
            callback(event)

    data = recipe.data
    folder = Path(data.dir) if data.dir else None
    larger = load_dataset(
        data.name, "train", size=data.windows, limit=data.limit, data_dir=folder, callback=forward_progress
    )
    if not np.array_equal(larger.rows, loaded.rows):
        raise UsageError(f"other pictures of {data.name} can be read at {data.windows} pixels than at {data.size}")
    return larger


def _notify_unseen(train: Dataset, callback: Callback) -> None:
    """Say which classes have no picture to learn from."""
    unseen = train.conditions.unseen() if isinstance(train.conditions, Labels) else []
    if unseen:
        named = ", ".join(map(quoted, unseen[:_MAX_NAMED])) + (", ..." if len(unseen) > _MAX_NAMED else "")
        what = "the class" if len(unseen) == 1 else f"the {len(unseen):,} classes"
        callback(Notice(f"no training picture shows {what} {named}, so such prompts mean nothing", is_warning=True))


def passes_per_epoch(recipe: Recipe, train: Dataset) -> int:
    """Return how often an epoch goes through the training pictures; more than once for a small data set."""
    training = recipe.training
    least = training.steps * training.batch_size if training.steps else recipe.data.epoch_size
    return math.ceil(least / train.pictures)


def steps_per_epoch(recipe: Recipe, train: Dataset) -> int:
    """Return the number of steps in an epoch. Pictures that do not fill a batch are not used in it."""
    pictures = passes_per_epoch(recipe, train) * train.pictures
    return recipe.training.steps or pictures // min(recipe.training.batch_size, pictures)


def _load_encoder(recipe: Recipe, device: torch.device, callback: Callback) -> TextEncoder | None:
    """Load the text encoder of a recipe; None for labels."""
    encoder = choose_encoder(recipe)
    if encoder is None:
        return None
    try:
        return load_encoder(encoder, callback, device)
    except MissingError as error:
        if encoder != "static":
            error.add_hint("or learn with the encoder that came along:  --condition static")
        raise


def _check_models(recipe: Recipe, shape: ImageShape, condition: ConditionSettings, callback: Callback) -> None:
    """Build the model and the objective of each stage once, to raise their errors early."""
    for stage in recipe.stages():
        build_objective(stage, build_model(stage, recipe.data.name, shape, condition), callback)
