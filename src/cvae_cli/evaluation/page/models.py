"""What a page shows of each model: samples, reconstructions, the best and the worst of them, and numbers by class."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from PIL import Image
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation.bound import evaluate_bound
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.classifier import Accuracy
from cvae_cli.evaluation.metrics.reconstruction import closeness
from cvae_cli.evaluation.page.figures import Trade
from cvae_cli.evaluation.page.pictures import Shown, show
from cvae_cli.evaluation.streams import BATCH_SIZE, reconstructions, samples
from cvae_cli.events import Progress
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.grid import to_pil

_SAMPLES = 8  # of each prompt: a whole chunk, see `CVAE.sample`
_EXTREMES = 8  # best reconstructions, and worst ones


@dataclass(frozen=True)
class Strip:
    """Pictures in a row, with the name of what they show; it is empty where the model is told nothing."""

    name: str
    pictures: Shown


@dataclass(frozen=True)
class Pair:
    """A picture with its reconstruction to the right, and how far they are from each other."""

    pictures: Shown
    error: float
    name: str


@dataclass(frozen=True)
class ModelPart:
    """What the page shows of one model.

    Attributes:
        label: a short name that differs from those of the other models.
        facts: what it is, by name.
        samples: a row for each prompt.
        reconstructions: one row, of the pictures that all models reconstruct.
        best, worst: the reconstructions with the smallest and the largest errors, in this order.
        values: numbers of each measured picture, by name.
        trade: rate and distortion.
    """

    label: str
    facts: dict[str, str]
    samples: list[Strip]
    reconstructions: Shown
    best: list[Pair]
    worst: list[Pair]
    values: dict[str, Float[np.ndarray, " n"]]
    trade: Trade


def model_part(
    label: str,
    model: CVAE,
    data: Dataset,
    shown: Int64[np.ndarray, " k"],
    groups: Sequence[Int64[np.ndarray, " _"]],
    context: Context,
    *,
    has_accuracy: bool,
) -> ModelPart:
    """Draw and measure one model.

    Args:
        data: the pictures to measure on, with the model's kind of conditions.
        shown: which of them are shown; samples have their prompts.
        groups: the pictures of each class.
        has_accuracy: whether samples are judged by the classifier.
    """
    model.eval()
    batches = Batches(data, batch_size=BATCH_SIZE, device=model.device)
    drawn, scores = _reconstruct(model, batches, context)
    bound = evaluate_bound(model, batches, seed=context.settings.seed, callback=context.callback)
    values = scores | {"rate": bound.rate.cpu().numpy(), "distortion": bound.distortion.cpu().numpy()}
    if has_accuracy:
        values["accuracy"] = _accuracy(model, batches, context)
    order = np.argsort(scores["mse"], kind="stable")
    names = [data.conditions.text(row) for row in range(len(data))]
    count = min(_EXTREMES, len(order) // 2 or 1)

    def pairs(rows: Int64[np.ndarray, " _"]) -> list[Pair]:
        return [_pair(data, drawn, row, names[row], float(scores["mse"][row])) for row in rows.tolist()]

    return ModelPart(
        label=label,
        facts=_facts(model),
        samples=_samples(label, model, data, shown, context),
        reconstructions=show(
            [drawn[row] for row in shown.tolist()],
            f"reconstructions by {label}: {', '.join(names[row] for row in shown.tolist())}",
        ),
        best=pairs(order[:count]),
        worst=pairs(order[::-1][:count]),
        values=values,
        trade=_trade(label, model, values, groups),
    )


def originals(data: Dataset, shown: Int64[np.ndarray, " k"]) -> Shown:
    """Return the pictures that all models reconstruct."""
    names = [data.conditions.text(row) for row in shown.tolist()]
    return show([_picture(data, row) for row in shown.tolist()], f"pictures of the data set: {', '.join(names)}")


def _reconstruct(
    model: CVAE, batches: Batches, context: Context
) -> tuple[list[Image.Image], dict[str, Float[np.ndarray, " n"]]]:
    """Return the reconstruction of each picture, and how close it is to the picture."""
    drawn: list[Image.Image] = []
    values: dict[str, list[Tensor]] = {}
    for batch in reconstructions(model, batches, context):
        drawn += to_pil(batch.reconstructions)
        for name, value in closeness(batch.images, batch.reconstructions).items():
            values.setdefault(name, []).append(value.double().cpu())
    return drawn, {name: torch.cat(each).numpy() for name, each in values.items()}


def _accuracy(model: CVAE, batches: Batches, context: Context) -> Float[np.ndarray, " n"]:
    """Return 1 for each picture whose class a sample shows that was drawn for it, 0 for the others."""
    judge = Accuracy(context)
    return torch.cat([judge.correct(batch).double().cpu() for batch in samples(model, batches, context)]).numpy()


def _samples(label: str, model: CVAE, data: Dataset, shown: Int64[np.ndarray, " k"], context: Context) -> list[Strip]:
    """Draw a row for each prompt; a model that is told nothing draws one row."""
    names = [data.conditions.text(row) for row in shown.tolist()] if model.is_conditional else [""]
    strips: list[Strip] = []
    for name, row in zip(names, shown, strict=False):
        context.callback(Progress("samples", len(strips), len(names)))
        condition = torch.from_numpy(data.conditions.values(row[None])).to(model.device)
        pictures = model.sample(
            condition.repeat_interleave(_SAMPLES, dim=0),
            seed=context.settings.seed,
            prompts=[name] * _SAMPLES,
            temperature=context.settings.temperature,
            guidance=context.settings.guidance,
        )
        what = f"{_SAMPLES} samples of {label}"
        strips.append(Strip(name, show(to_pil(pictures), f"{what}: {name}" if name else what)))
    return strips


def _pair(data: Dataset, drawn: Sequence[Image.Image], row: int, name: str, error: float) -> Pair:
    alt = f"{name}: the picture and its reconstruction"
    return Pair(show([_picture(data, row), drawn[row]], alt), error, name)


def _picture(data: Dataset, row: int) -> Image.Image:
    pixels = data.read(np.array([row]))[0]
    return Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels)


def _trade(
    label: str, model: CVAE, values: dict[str, Float[np.ndarray, " n"]], groups: Sequence[Int64[np.ndarray, " _"]]
) -> Trade:
    def means(rows: Int64[np.ndarray, " _"] | slice) -> tuple[float, float]:
        return float(values["rate"][rows].mean()), float(values["distortion"][rows].mean())

    kind = model.config.architecture.likelihood.kind
    return Trade(label, kind, *means(slice(None)), parts=[means(rows) for rows in groups])


def _facts(model: CVAE) -> dict[str, str]:
    """What the model is, for its heading."""
    config, latents = model.config, " × ".join(map(str, model.latent_shape))
    return {
        "network": config.architecture.network.kind,
        "condition": f"{config.architecture.conditioning}, {config.published().condition.description}"
        if model.is_conditional
        else "none",
        "latents": latents,
        "likelihood": config.architecture.likelihood.kind,
        "prior": config.architecture.prior.kind,
        "parameters": f"{sum(each.numel() for each in model.parameters()):,}",
    }
