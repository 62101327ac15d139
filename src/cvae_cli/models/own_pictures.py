"""Pictures from a user's files, as a model takes them, and what they show."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from cvae_cli.config.model import ImageShape
from cvae_cli.errors import UsageError
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.models.condition import Condition
from cvae_cli.pictures.opening import open_picture


def open_pictures(paths: Sequence[Path], shape: ImageShape, *, callback: Callback = ignore) -> UInt8[Tensor, "n h w c"]:
    """Open pictures of any format and size in the size and channels of a model.

    Args:
        callback: receives what was done to a picture to fit it to the model, and the progress.

    Raises:
        UsageError, MissingError, CorruptError: see `open_picture`.
    """
    arrays = []
    for number, path in enumerate(paths, 1):
        picture, changes = open_picture(path, size=shape.size, channels=shape.channels)
        if changes:
            callback(Notice(f"{path}: {', '.join(changes)}"))
        arrays.append(np.asarray(picture).reshape(shape.size, shape.size, shape.channels))
        callback(Progress("opening pictures", number, len(paths)))
    return torch.from_numpy(np.stack(arrays))


def picture_conditions(
    paths: Sequence[Path], model: Autoencoder, *, prompt: str | None, callback: Callback = ignore
) -> Condition:
    """Return what pictures show, one row for each.

    Args:
        prompt: what all of them show. Without it a model of classes takes the name of each picture's folder.

    Raises:
        UsageError: the model needs a prompt, or cannot use it.
    """
    if prompt is not None:
        return model.condition([prompt], callback=callback).repeat_interleave(len(paths), dim=0)
    if model.is_conditional and model.config.condition.kind != "labels":
        raise UsageError(f"say what {paths[0]} shows", hint='for example:  --prompt "two dogs on a beach"')
    conditions = []
    for path in paths:
        try:
            conditions.append(model.condition([path.absolute().parent.name]))
        except UsageError as error:
            raise UsageError(
                f"say what {path} shows: its folder is not named like a class",
                hint=f"for example:  --prompt CLASS\n{error.hint}",
            ) from error
    return torch.cat(conditions)
