"""From prompts and captions to conditions."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from cvae_cli.config import model as config
from cvae_cli.config.model import LabelClass, TextCondition
from cvae_cli.data.catalog import has_sizes, shape_of, short_name
from cvae_cli.data.conditions import Captions, Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.text.catalog import load_matching_encoder
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.labels import match_class
from cvae_cli.text.vectors import with_vectors

_encoders: dict[TextCondition, TextEncoder] = {}


def encoder_for(
    settings: TextCondition, *, device: torch.device | None = None, callback: Callback = ignore
) -> TextEncoder:
    """The encoder that a model learned with, read once and kept.

    Raises:
        MissingError, CorruptError: see `load_matching_encoder`.
    """
    if settings not in _encoders:
        _encoders[settings] = load_matching_encoder(settings, callback, device)
    return _encoders[settings]


def prepare_encoder(
    settings: config.Condition, *, device: torch.device | None = None, callback: Callback = ignore
) -> None:
    """Load the text encoder of a model where it has one, so that a missing one is found before long work.

    Raises:
        MissingError, CorruptError: see `load_matching_encoder`.
    """
    if isinstance(settings, TextCondition):
        encoder_for(settings, device=device, callback=callback)


def check_image_shape(model: config.ModelConfig, dataset: str) -> None:
    """Raise a UsageError where a data set cannot have the picture size and channels of a model."""
    ours = model.image
    theirs = shape_of(dataset, ours.size if has_sizes(dataset) else None)
    if ours != theirs:
        raise UsageError(
            f"{model.name} draws {ours.size}x{ours.size} pictures of {ours.channels} channels; "
            f"{short_name(dataset)} has {theirs.size}x{theirs.size} of {theirs.channels}"
        )


def encode_prompts(
    settings: config.Condition,
    prompts: Sequence[str],
    *,
    ignored: bool = False,
    callback: Callback = ignore,
) -> Tensor:
    """The condition that each prompt asks for, a row a prompt, on the CPU; see `CVAE.condition`.

    Args:
        ignored: whether the model has no use for it: then any row will do.
    """
    match settings:
        case config.LabelCondition() if ignored:
            return torch.zeros(len(prompts), dtype=torch.long)
        case config.LabelCondition():
            return torch.tensor([_class_index(prompt, settings.classes, callback) for prompt in prompts])
        case config.StaticCondition() | config.ClipCondition() if ignored:
            return torch.zeros(len(prompts), settings.width)
        case config.StaticCondition() | config.ClipCondition():
            return encoder_for(settings).encode(prompts, callback=callback)


def _class_index(prompt: str, classes: Sequence[LabelClass], callback: Callback) -> int:
    found = match_class(prompt, classes)
    if found.others:
        callback(
            Notice(
                f"{quoted(prompt)} names several classes: drawing {found.name}, not {', '.join(found.others)}",
                is_warning=True,
            )
        )
    return found.index


def with_conditions(
    dataset: Dataset,
    encoder: TextEncoder | None,
    *,
    callback: Callback = ignore,
) -> Dataset:
    """The data set with the conditions that a new model is to learn from.

    Args:
        encoder: reads the captions, or the names of the classes; without one the conditions are labels.

    Raises:
        UsageError: a data set of captions and no encoder.
    """
    if encoder is not None:
        return _with_vectors(dataset, encoder, callback)
    if not isinstance(dataset.conditions, Labels):
        raise UsageError(f"{dataset.name} has captions, no classes")
    return dataset


def with_model_conditions(
    dataset: Dataset,
    settings: config.Condition,
    *,
    callback: Callback = ignore,
) -> Dataset:
    """The data set with conditions of the kind that a model knows.

    Raises:
        UsageError: the data set has no such conditions, or other classes.
        MissingError, CorruptError: the model's text encoder is not here.
    """
    if isinstance(settings, TextCondition):
        return _with_vectors(dataset, encoder_for(settings, callback=callback), callback)
    if not isinstance(dataset.conditions, Labels):
        raise UsageError(f"the model knows classes, and {dataset.name} has captions")
    if [each.name for each in dataset.conditions.classes] != settings.names:
        raise UsageError(f"the model knows other classes than {dataset.name}")
    return dataset


def _with_vectors(dataset: Dataset, encoder: TextEncoder, callback: Callback) -> Dataset:
    conditions = dataset.conditions
    captions = conditions.captions() if isinstance(conditions, Labels) else conditions
    return with_vectors(replace(dataset, conditions=captions), encoder, callback=callback)


def condition_config(dataset: Dataset) -> config.Condition:
    """What a model must know of a data set's conditions to be told of others."""
    match dataset.conditions:
        case Labels(classes=classes):
            return config.LabelCondition(classes=classes)
        case Captions(encoder=encoder) if encoder is not None:
            return encoder
    raise ValueError(f"the captions of {dataset.name} are not encoded")
