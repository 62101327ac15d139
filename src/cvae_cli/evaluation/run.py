"""Models and a data set in, scores out, each with the protocol that it depends on."""

import math
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from cvae_cli.data.batches import Batches
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.mnist import FAMILY
from cvae_cli.errors import UsageError
from cvae_cli.evaluation import metrics
from cvae_cli.evaluation.bound import active_units, evaluate_bound, importance_weighted_bound, require_density
from cvae_cli.evaluation.clip_score import ClipJudge
from cvae_cli.evaluation.fashion_cnn import FashionCNN
from cvae_cli.evaluation.features import BY_CLIP, BY_NEIGHBOURS, EXTRACTORS, FRECHET_DISTANCES, Features, clip_features
from cvae_cli.evaluation.judges import Agreement, CaptionMatch, Frechet, Judge, Neighbours
from cvae_cli.evaluation.metrics import Metric
from cvae_cli.events import Callback, Progress, ignore
from cvae_cli.models.cvae import CVAE
from cvae_cli.pictures.pixels import to_uint8
from cvae_cli.runtime.distributed import get_world
from cvae_cli.runtime.randomness import noise

_BATCH = 128

Steps = Callable[[str, int, int], None]
"""Told what is being measured, how many pictures are done, and of how many."""


@dataclass(frozen=True)
class Scores:
    """What one model scored: values by metric name, None where a metric has no meaning for the model; and what stands
    beside them."""

    values: dict[str, float | None]
    details: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What scores depend on besides the model and the data."""

    seed: int = 0
    temperature: float = 1.0
    guidance: float | None = None
    k: int = 64
    """Samples a picture for the importance-weighted bound."""
    reconstruction: Literal["sample", "mean"] = "sample"
    """Whether reconstructions go through a sample of the posterior, as the article's do, or through its mean, which
    is nearer to the original."""


def check_metrics(chosen: Sequence[Metric], dataset: str) -> None:
    """Raise a UsageError where a metric cannot judge the pictures of a data set."""
    for metric in chosen:
        if metric.only not in {None, dataset}:
            raise UsageError(f'"{metric.name}" judges pictures of {metric.only} only, not of {dataset}')


def check(chosen: Sequence[Metric], model: CVAE, dataset: Dataset) -> None:
    """Raise a UsageError where the model cannot be measured on the data set, or not by these metrics."""
    check_metrics(chosen, dataset.name)
    if model.config.image != dataset.image_shape:
        ours, theirs = model.config.image, dataset.image_shape
        raise UsageError(
            f"{model.config.name} draws {ours.size}x{ours.size} pictures of {ours.channels} channels; "
            f"{dataset.name} has {theirs.size}x{theirs.size} of {theirs.channels}"
        )
    if len(dataset) < 2 and any(metric.name in FRECHET_DISTANCES | BY_NEIGHBOURS for metric in chosen):
        raise UsageError("a comparison of samples with real ones needs at least 2 pictures, and many to mean anything")
    if any(metric.name == "iwae" for metric in chosen):
        require_density(model)


def load_features(
    chosen: Sequence[Metric], device: torch.device, callback: Callback, *, clip: str | None = None
) -> dict[str, Features]:
    """The networks that the metrics need, by metric name; weights that are absent are fetched.

    Args:
        clip: which CLIP model judges captions: `ARCHITECTURE/TAG` or a folder, OpenAI's ViT-B/32 when absent.

    Raises:
        MissingError: they cannot be had.
    """
    place = _judging_device(device)
    features = {metric.name: EXTRACTORS[metric.name](place, callback) for metric in chosen if metric.name in EXTRACTORS}
    if by_clip := [metric.name for metric in chosen if metric.name in BY_CLIP]:
        features |= dict.fromkeys(by_clip, clip_features(clip, place, callback))
    return features


def _judging_device(device: torch.device) -> torch.device:
    """Where samples are judged: Fréchet distances need float64, which Apple's GPUs do not have."""
    return torch.device("cpu") if device.type == "mps" else device


def evaluate(
    model: CVAE,
    dataset: Dataset,
    chosen: Sequence[Metric],
    *,
    features: dict[str, Features],
    settings: Settings = Settings(),
    callback: Callback = ignore,
) -> Scores:
    """Measure a model on a data set.

    Samples are drawn for the data set's own conditions, one a picture (of several captions the first), and rounded to
    8 bits before they are measured. Several processes share the pictures, and each has the scores of all.
    """
    check(chosen, model, dataset)
    if len(dataset) < get_world().size:
        raise UsageError(f"{len(dataset)} pictures are too few for {get_world().size} processes")
    model.eval()
    values: dict[str, float | None] = {}
    details: dict[str, float | None] = {}
    of = {metric.of for metric in chosen}
    batches = Batches(dataset, batch_size=_BATCH, device=model.device)
    if "reconstructions" in of:
        names = [metric.name for metric in chosen if metric.of == "reconstructions"]
        values |= _reconstruction_scores(model, batches, names, settings, callback)
    if "bound" in of:
        wanted = {metric.name for metric in chosen if metric.of == "bound"}
        values |= _bound_scores(model, batches, wanted, settings, callback)
    if "samples" in of:
        values |= _sample_scores(model, dataset, chosen, features, settings, callback)
    wanted = {metric.name for metric in chosen}
    # what a judge says besides the metrics asked for is a detail of one that was, or nobody's question
    details |= {name: value for name, value in values.items() if name.split(" ")[0] in wanted - {name}}
    return Scores({metric.name: values[metric.name] for metric in chosen}, details)


def _reconstruction_scores(
    model: CVAE, batches: Batches, names: Sequence[str], settings: Settings, callback: Callback
) -> dict[str, float]:
    functions = {"mse": metrics.squared_error, "ssim": metrics.ssim, "psnr": metrics.psnr}
    parts: dict[str, list[Tensor]] = {name: [] for name in names}
    world = get_world()
    part = world.rows(len(batches.dataset))
    done = part.start
    for images, condition in batches.in_order(part):
        epsilon = None
        if settings.reconstruction == "sample":
            indices = range(done, done + len(images))
            epsilon = noise(settings.seed, indices, model.latent_shape).to(model.device)
        reconstructions = model.reconstruct(images, condition, noise=epsilon)
        for name in names:
            parts[name].append(functions[name](images, reconstructions))
        done += len(images)
        callback(Progress("reconstructions", done - part.start, part.stop - part.start))
    return {name: world.gather_rows(values).double().mean().item() for name, values in parts.items()}


def _bound_scores(
    model: CVAE, batches: Batches, names: set[str], settings: Settings, callback: Callback
) -> dict[str, float | None]:
    values: dict[str, float | None] = {}
    if names & {"elbo", "rate", "distortion", "bits-per-dim"}:
        bound = evaluate_bound(model, batches, seed=settings.seed)
        nats = bound.negative_elbo.mean().item()
        shape = model.config.image
        bits = nats / math.log(2) / (shape.size * shape.size * shape.channels)
        values["elbo"], values["rate"] = nats, bound.rate.mean().item()
        values["distortion"] = bound.distortion.mean().item()
        values["bits-per-dim"] = bits if model.likelihood.is_over_bytes else None
    if "active-units" in names:
        values["active-units"] = active_units(model, batches)
    if "iwae" in names:
        bounds = importance_weighted_bound(model, batches, settings.k, seed=settings.seed, callback=callback)
        values["iwae"] = bounds.mean().item()
    return values


def _sample_scores(
    model: CVAE,
    dataset: Dataset,
    chosen: Sequence[Metric],
    features: dict[str, Features],
    settings: Settings,
    callback: Callback,
) -> dict[str, float]:
    place = _judging_device(model.device)
    judges = _judges(chosen, features, place)
    part = get_world().rows(len(dataset))
    for start in range(part.start, part.stop, _BATCH):
        rows = np.arange(start, min(start + _BATCH, part.stop))
        asked = torch.from_numpy(dataset.conditions.values(rows))
        drawn = model.sample(
            asked.to(model.device),
            seed=settings.seed,
            indices=rows.tolist(),
            temperature=settings.temperature,
            guidance=settings.guidance,
        )
        real = torch.from_numpy(dataset.take(rows).images)
        texts = [dataset.conditions.text(row) for row in rows.tolist()]
        for judge in judges:
            judge.see(_three_channels(to_uint8(drawn)).to(place), _three_channels(real).to(place), texts)
        callback(Progress("samples", start + len(rows) - part.start, part.stop - part.start))
    return {name: value for judge in judges for name, value in judge.scores().items()}


def _judges(chosen: Sequence[Metric], features: dict[str, Features], place: torch.device) -> list[Judge]:
    """Whoever must see the samples for the chosen metrics; one that gives several scores only once."""
    judges: list[Judge] = []
    for metric in chosen:
        match features[metric.name].network if metric.of == "samples" else None:
            case ClipJudge() as clip:
                if not any(isinstance(judge, CaptionMatch) for judge in judges):
                    judges.append(CaptionMatch(clip))
            case FashionCNN() as classifier if metric.name == "accuracy":
                judges.append(Agreement(classifier, list(FAMILY["fashion-mnist"].words)))
            case torch.nn.Module() as network if metric.name in BY_NEIGHBOURS:
                if not any(isinstance(judge, Neighbours) for judge in judges):
                    judges.append(Neighbours(network))
            case torch.nn.Module() as network:
                judges.append(Frechet(metric.name, network, place))
    return judges


def _three_channels(images: Tensor) -> Tensor:
    """uint8 `(n, h, w, c)` to `(n, 3, h, w)`, grey repeated."""
    return images.permute(0, 3, 1, 2).expand(-1, 3, -1, -1)


def protocol(
    dataset: Dataset, features: dict[str, Features], settings: Settings, device: torch.device
) -> dict[str, Any]:
    """Everything that the scores depend on."""
    return {
        "dataset": dataset.name,
        "split": dataset.split,
        "image_size": dataset.image_shape.size,
        "real_images": len(dataset),
        "generated_images": len(dataset),
        "conditions": "the labels of the data set, or the first caption of each picture, one sample each",
        "seed": settings.seed,
        "temperature": settings.temperature,
        "guidance": "each model's own" if settings.guidance is None else settings.guidance,
        "reconstruction": f"decoder mean of the posterior's {settings.reconstruction}",
        "elbo": "one posterior sample an image, nats",
        "iwae": f"{settings.k} posterior samples an image, nats",
        "active-units": "numbers of the latent whose posterior mean has a variance over 0.01",
        "mse, ssim, psnr": "of each image, then their mean; values in [0, 1]",
        "ssim": "11x11 Gaussian window, sigma 1.5, data_range 1.0",
        "features": {name: feature.protocol for name, feature in features.items()},
        "device": str(device),
        "precision": "fp32",
        "versions": {
            "python": platform.python_version(),
            **{name: version(name) for name in ("cvae-cli", "torch", "torchmetrics", "torch-fidelity")},
        },
    }
