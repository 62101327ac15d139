"""Make conditions from prompts and captions."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from cvae_cli.config.condition import ConditionSettings, LabelClass, LabelCondition, TextCondition
from cvae_cli.data.conditions import Captions, Labels, class_changes
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError, quoted
from cvae_cli.events import Callback, Notice, ignore
from cvae_cli.text.catalog import load_matching_encoder
from cvae_cli.text.encoder import TextEncoder
from cvae_cli.text.labels import match_class
from cvae_cli.text.prompts import check_text
from cvae_cli.text.streamed import with_stream_conditions
from cvae_cli.text.vectors import with_vectors

_encoders: dict[TextCondition, TextEncoder] = {}


def get_encoder(
    settings: TextCondition, *, device: torch.device | None = None, callback: Callback = ignore
) -> TextEncoder:
    """Return the encoder that a model was trained with; it is loaded once and kept in memory.

    Raises:
        MissingError, CorruptError: see `load_matching_encoder`.
    """
    if settings not in _encoders:
        _encoders[settings] = load_matching_encoder(settings, callback, device)
    return _encoders[settings]


def prepare_encoder(
    settings: ConditionSettings, *, device: torch.device | None = None, callback: Callback = ignore
) -> None:
    """Load the text encoder of a model, if it has one, so that a missing encoder is noticed before long work.

    Raises:
        MissingError, CorruptError: see `load_matching_encoder`.
    """
    if isinstance(settings, TextCondition):
        get_encoder(settings, device=device, callback=callback)


def encode_prompts(
    settings: ConditionSettings,
    prompts: Sequence[str],
    *,
    ignored: bool = False,
    callback: Callback = ignore,
) -> Tensor:
    """Turn prompts into conditions, one row for each prompt, on the CPU; see `CVAE.condition`.

    Args:
        ignored: whether the model ignores its condition; then the rows are zeros.

    Raises:
        UsageError: a prompt is not text, names no class, or has no word that the text encoder knows.
    """
    for prompt in prompts:
        check_text(prompt)
    if isinstance(settings, LabelCondition):
        if ignored:
            return torch.zeros(len(prompts), dtype=torch.long)
        return torch.tensor([_class_index(prompt, settings.classes, callback) for prompt in prompts])
    if ignored:
        return torch.zeros(len(prompts), settings.width)
    return get_encoder(settings).encode(prompts, callback=callback)


def _class_index(prompt: str, classes: Sequence[LabelClass], callback: Callback) -> int:
    """Return the class that a prompt names; notify if it names several."""
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
    """Return the data set with the conditions for training a new model.

    Args:
        encoder: encodes the captions, or the names of the classes; without an encoder the conditions are labels.

    Raises:
        UsageError: the data set has captions, and there is no encoder; or the encoder reads the names of two classes
            as the same.
    """
    if encoder is not None:
        encoded = _with_vectors(dataset, encoder, callback)
        if isinstance(dataset.conditions, Labels):
            _check_told_apart(dataset.conditions, encoded.conditions, encoder)
        return with_stream_conditions(encoded, dataset.conditions, encoder, callback)
    if not isinstance(dataset.conditions, Labels):
        raise UsageError(f"{dataset.name} has captions, no classes")
    return with_stream_conditions(dataset, dataset.conditions, None, callback)


def _check_told_apart(labels: Labels, captions: Labels | Captions, encoder: TextEncoder) -> None:
    """Check that the encoder has a vector of its own for the name of each class."""
    seen: dict[bytes, str] = {}
    for row in np.unique(labels.indices, return_index=True)[1].tolist():
        name = labels.text(row)
        other = seen.setdefault(captions.values(np.array([row])).tobytes(), name)
        if other != name:
            raise UsageError(
                f"the text encoder {encoder.settings.kind} reads the classes {quoted(other)} and {quoted(name)} as the "
                "same, so no prompt could tell them apart",
                hint="learn them as classes:  --condition labels",
            )


def with_model_conditions(
    dataset: Dataset,
    settings: ConditionSettings,
    *,
    callback: Callback = ignore,
) -> Dataset:
    """Return the data set with the kind of conditions that a model was trained with.

    Raises:
        UsageError: the data set has no such conditions, or has other classes.
        MissingError, CorruptError: the model's text encoder is not available.
    """
    if isinstance(settings, TextCondition):
        return _with_vectors(dataset, get_encoder(settings, callback=callback), callback)
    if not isinstance(dataset.conditions, Labels):
        raise UsageError(f"the model knows classes, and {dataset.name} has captions")
    names = [each.name for each in dataset.conditions.classes]
    if names != settings.names:
        raise UsageError(
            f"the model knows other classes than {dataset.name} has ({class_changes(settings.names, names)})"
        )
    return dataset


def _with_vectors(dataset: Dataset, encoder: TextEncoder, callback: Callback) -> Dataset:
    conditions = dataset.conditions
    captions = conditions.captions() if isinstance(conditions, Labels) else conditions
    return with_vectors(replace(dataset, conditions=captions), encoder, callback=callback)


def condition_config(dataset: Dataset) -> ConditionSettings:
    """Return the settings of a data set's conditions, which a model needs to make conditions from prompts."""
    match dataset.conditions:
        case Labels(classes=classes):
            return LabelCondition(classes=classes)
        case Captions(encoder=encoder) if encoder is not None:
            return encoder
    raise ValueError(f"the captions of {dataset.name} are not encoded")
