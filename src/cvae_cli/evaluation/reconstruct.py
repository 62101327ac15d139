"""Reconstruct pictures through the mean of the posterior, and measure how close the reconstructions are."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from cvae_cli.data.catalog import check_image_shape, evaluation_split, load_dataset, short_name
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.metrics.reconstruction import closeness
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.condition import Condition
from cvae_cli.models.cvae import CVAE, Source, load_model
from cvae_cli.models.own_pictures import open_pictures, picture_conditions
from cvae_cli.models.sampling import check_sampling
from cvae_cli.pictures.grid import Labels, check_enlargement, check_sheet, enlarge, grid, readable_scale, to_pil
from cvae_cli.pictures.pixels import to_float
from cvae_cli.text.condition import prepare_encoder, with_model_conditions
from cvae_cli.text.labels import match_class

_PAIRS_PER_ROW = 4
_NO_PROMPT = "-"
_BATCH_SIZE = 128


@dataclass(frozen=True)
class Reconstructions:
    """Pictures and their reconstructions.

    Attributes:
        model: the name of the model.
        names: for each picture, the path of its file or its number in its data set.
        prompts: what the model is told that each picture shows; `-` if it has no condition.
        originals: values in [0, 1].
        pictures: the reconstructions, values in [0, 1].
        scores: one value per picture, by metric; see `closeness`.
    """

    model: str
    names: list[str]
    prompts: list[str]
    originals: Float[Tensor, "n c h w"]
    pictures: Float[Tensor, "n c h w"]
    scores: dict[str, list[float]]

    @property
    def mean(self) -> dict[str, float]:
        """The mean of each metric over the pictures."""
        return {metric: sum(values) / len(values) for metric, values in self.scores.items()}

    def sheet(self, *, scale: int | None = None, resample: str = "nearest", labels: bool = False) -> Image.Image:
        """Return all pictures side by side, each original with its reconstruction to the right of it.

        Args:
            scale, resample: how pictures are enlarged, see `generate_grid`.
            labels: write above the pictures which is which, and what it shows.

        Raises:
            UsageError: no such way to enlarge pictures, or the sheet would be too large.
        """
        check_enlargement(scale, resample)
        size, columns = self.originals.shape[-1], 2 * min(_PAIRS_PER_ROW, len(self.originals))
        scale = scale or (readable_scale(size) if labels else 1)
        check_sheet(2 * len(self.originals), columns, scale * size)
        pairs = torch.stack([self.originals, self.pictures], dim=1).flatten(0, 1)
        shown = ["" if prompt == _NO_PROMPT else f"\n{prompt}" for prompt in self.prompts]
        above = Labels(pictures=[text for each in shown for text in (f"original{each}", "reconstruction")])
        pictures = [enlarge(picture, scale, resample) for picture in to_pil(pairs)]
        return grid(pictures, columns=columns, labels=above if labels else None)


def reconstruct_files(
    model: Source,
    paths: Sequence[str | Path],
    *,
    prompt: str | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Reconstructions:
    """Reconstruct pictures from files of any format and size.

    Args:
        model: a bundled name, a folder, `org/name` on the Hub, or a model in memory.
        prompt: what the pictures show. Without it a model of classes takes the name of each picture's folder.
        device: see `pick_device`; a model in memory stays where it is.
        callback: receives what was done to a picture to fit it to the model, and the progress.

    Raises:
        UsageError: the model needs a prompt, or cannot use it.
        MissingError, CorruptError: a picture does not exist, or cannot be read.
    """
    if not (files := [Path(path) for path in paths]):
        raise UsageError("there is no picture to reconstruct")
    model = load_model(model, device=device, callback=callback)
    pixels = open_pictures(files, model.config.image, callback=callback)
    prompts = [path.absolute().parent.name if prompt is None else prompt for path in files]
    conditions = picture_conditions(files, model, prompt=prompt, callback=callback)
    return _reconstruct(model, [str(path) for path in files], pixels, prompts, conditions, callback)


def reconstruct_dataset(
    model: Source,
    dataset: str,
    *,
    split: str | None = None,
    n: int = 16,
    seed: int = 0,
    data_dir: str | Path | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Reconstructions:
    """Reconstruct pictures of a data set.

    Args:
        model: a bundled name, a folder, `org/name` on the Hub, or a model in memory.
        split: `test` by default, or `val` if the data set has no test split.
        n: number of pictures, chosen at random by `seed`.
        data_dir: see `load_dataset`.
        device: see `pick_device`; a model in memory stays where it is.
        callback: receives the progress of downloading and preparing the data set.

    Raises:
        UsageError: no such data set or split, or the model is for other pictures, classes or captions.
        MissingError, CorruptError: a file of the data set is missing or damaged.
    """
    check_sampling(seed=seed, n=n)
    model = load_model(model, device=device, callback=callback)
    check_image_shape(model.config.image, dataset, called=model.called)
    split = split or evaluation_split(dataset)
    prepare_encoder(model.config.condition, device=model.device, callback=callback)
    data = load_dataset(dataset, split, size=model.config.image.size, data_dir=data_dir, callback=callback)
    data = with_model_conditions(data, model.config.condition, callback=callback).sample(n, seed)
    rows = range(len(data))
    names = [f"{short_name(dataset)} {split} {row + 1}" for row in rows]
    prompts = [data.conditions.text(row) for row in rows]
    conditions = torch.from_numpy(data.conditions.values(np.arange(len(data)))).to(model.device)
    return _reconstruct(model, names, torch.from_numpy(data.images), prompts, conditions, callback)


def _reconstruct(
    model: CVAE,
    names: list[str],
    pixels: UInt8[Tensor, "n h w c"],
    prompts: list[str],
    conditions: Condition,
    callback: Callback,
) -> Reconstructions:
    originals = to_float(pixels).to(model.device)
    pictures: list[Tensor] = []
    scores: dict[str, list[float]] = {}
    for start in range(0, len(names), _BATCH_SIZE):
        callback(Progress("reconstructions", start, len(names)))
        rows = slice(start, start + _BATCH_SIZE)
        pictures.append(model.reconstruct(originals[rows], conditions[rows]))
        for metric, values in closeness(originals[rows], pictures[-1]).items():
            scores.setdefault(metric, []).extend(values.tolist())
    shown = [_shown_prompt(prompt, model) for prompt in prompts]
    return Reconstructions(model.config.name, names, shown, originals, torch.cat(pictures), scores)


def _shown_prompt(prompt: str, model: CVAE) -> str:
    """What the model is told: the prompt, or the name of the class that it stands for."""
    condition = model.config.condition
    if not model.is_conditional:
        return _NO_PROMPT
    return match_class(prompt, condition.classes).name if condition.kind == "labels" else prompt
