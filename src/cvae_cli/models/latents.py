"""The latents of the pictures of a data set."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float32, Int64

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import (
    check_image_shape,
    check_name,
    check_shapes,
    evaluation_split,
    load_dataset,
    short_name,
)
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import CorruptError
from cvae_cli.events import Callback, Progress
from cvae_cli.models.autoencoder import Autoencoder
from cvae_cli.runtime.device import full_precision
from cvae_cli.runtime.randomness import noise
from cvae_cli.text.condition import prepare_encoder, with_model_conditions

_BATCH_SIZE = 128


@dataclass(frozen=True)
class DatasetLatents:
    """The latents of `n` pictures of a data set, each given its own condition. Maps of latents are flattened.

    Attributes:
        model: the name of the model.
        dataset, split: where the pictures are from.
        rows: the position of each picture in the split.
        means: of q(z | x, c).
        samples: one sample of q(z | x, c) for each, which is all that the decoder learns of the picture. Its noise
            depends on the seed and the picture's position in the split.
        texts: what each picture shows: its class, or its first caption.
        labels: the class of each picture; absent if the data set has captions.
        classes: the names of all classes.
    """

    model: str
    dataset: str
    split: str
    rows: Int64[np.ndarray, " n"]
    means: Float32[np.ndarray, "n d"]
    samples: Float32[np.ndarray, "n d"]
    texts: list[str]
    labels: Int64[np.ndarray, " n"] | None
    classes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)


def find_data(
    model: Autoencoder, dataset: str, *, split: str | None, data_dir: str | Path | None, callback: Callback
) -> Dataset:
    """Load the split of a data set whose pictures a model encodes; `test`, or `val` where there is no `test`.

    Raises:
        UsageError: no such data set or split, or its pictures have another size than the model's.
        MissingError, CorruptError: a file is missing or damaged.
    """
    check_image_shape(model.config.image, dataset, called=model.called)
    split = split or evaluation_split(dataset)
    check_name(dataset, split)
    prepare_encoder(model.config.condition, device=model.device, callback=callback)  # before a download of gigabytes
    return load_dataset(dataset, split, size=model.config.image.size, data_dir=data_dir, callback=callback)


@torch.inference_mode()
def encode_dataset(model: Autoencoder, data: Dataset, *, n: int, seed: int, callback: Callback) -> DatasetLatents:
    """Encode `n` pictures of a data set, or all when there are fewer; the seed determines which.

    Raises:
        UsageError: the model is for pictures of another size, or knows other classes.
        CorruptError: a latent is no finite number, as after a training that has diverged.
    """
    check_shapes(model.config.image, data.image_shape, data.name, called=model.called)
    rows = data.choose(n, seed)
    chosen = data.take(rows)
    encoded = with_model_conditions(chosen, model.config.condition, callback=callback)
    batches = Batches(encoded, batch_size=_BATCH_SIZE, device=model.device)
    means: list[torch.Tensor] = []
    samples: list[torch.Tensor] = []
    callback(Progress("encoding pictures", 0, len(rows)))
    for images, condition in batches.in_order():
        done = len(means) * _BATCH_SIZE
        with full_precision(model.device):
            posterior = model.posterior(images, condition)
        epsilon = noise(seed, rows[done : done + len(images)].tolist(), model.latent_shape).to(model.device)
        means.append(posterior.mean.flatten(1).cpu())
        samples.append((posterior.mean + posterior.stddev * epsilon).flatten(1).cpu())
        callback(Progress("encoding pictures", done + len(images), len(rows)))
    if not torch.cat(samples).isfinite().all():
        raise CorruptError(f"latents of {model.called} are not finite numbers: its training has diverged")
    labels = chosen.conditions if isinstance(chosen.conditions, Labels) else None
    return DatasetLatents(
        model=model.config.name,
        dataset=short_name(data.name),
        split=data.split,
        rows=rows,
        means=torch.cat(means).numpy(),
        samples=torch.cat(samples).numpy(),
        texts=[chosen.conditions.text(row) for row in range(len(rows))],
        labels=None if labels is None else labels.indices,
        classes=() if labels is None else tuple(each.name for each in labels.classes),
    )
