"""What the report of an evaluation shows, part by part."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Int64

from cvae_cli.data.catalog import short_name
from cvae_cli.data.conditions import Labels
from cvae_cli.data.dataset import Dataset
from cvae_cli.evaluation import report
from cvae_cli.evaluation.context import Context, Settings, feature_device
from cvae_cli.evaluation.curves import draw_curves
from cvae_cli.evaluation.history import read_histories
from cvae_cli.evaluation.page.commands import Command, find_runs, make_commands
from cvae_cli.evaluation.page.figures import Drawing, draw, draw_trades
from cvae_cli.evaluation.page.latents import Interpolation, data_options, draw_spaces, interpolate
from cvae_cli.evaluation.page.models import ModelPart, model_part, originals
from cvae_cli.evaluation.page.pictures import Shown
from cvae_cli.evaluation.result import Evaluation
from cvae_cli.events import Callback, Progress, labelled
from cvae_cli.models.cvae import CVAE
from cvae_cli.text.condition import with_model_conditions

_MEASURED = 1000  # pictures that are reconstructed for the page
_NAMED = 5  # models from which on the title has their number only
_SHOWN = 10  # classes, or pictures with captions
_CLASS_COLUMNS = {"mse": "mse, sum", "ssim": "ssim", "accuracy": "accuracy", "rate": "rate", "distortion": "distortion"}


@dataclass(frozen=True)
class Table:
    """The scores, as a terminal shows them."""

    columns: list[str]
    rows: list[list[str]]
    footer: list[str]


@dataclass(frozen=True)
class ClassRow:
    """The means of one class: for each model a value for each column."""

    name: str
    pictures: int
    values: list[str]


@dataclass(frozen=True)
class Classes:
    """Numbers by class."""

    columns: list[str]
    rows: list[ClassRow]


@dataclass(frozen=True)
class Page:
    """Everything that the page shows; a part that is None is left out."""

    title: str
    subtitle: str
    table: Table
    warnings: list[str]
    protocol: list[tuple[str, str]]
    models: list[ModelPart]
    originals: Shown
    measured: int
    seed: int
    has_captions: bool
    classes: Classes | None
    latents: Drawing | None
    trades: Drawing
    interpolation: Interpolation | None
    curves: Drawing | None
    commands: list[Command]

    @property
    def parts(self) -> list[tuple[str, str]]:
        """The anchor and the name of each part, in order."""
        named = {
            "scores": ("Scores", True),
            "samples": ("Samples", True),
            "reconstructions": ("Reconstructions", True),
            "extremes": ("Best and worst", True),
            "classes": ("Classes", self.classes),
            "latents": ("Latent space", self.latents),
            "rate-distortion": ("Rate and distortion", True),
            "interpolation": ("Interpolation", self.interpolation),
            "curves": ("Loss curves", self.curves),
            "commands": ("Commands", True),
        }
        return [(anchor, name) for anchor, (name, is_there) in named.items() if is_there]


def make_page(
    evaluation: Evaluation,
    models: Sequence[CVAE],
    sources: Sequence[str | None],
    data: Dataset,
    *,
    data_dir: str | Path | None,
    command: str | None,
    callback: Callback,
) -> Page:
    """Draw and measure what the page shows.

    Args:
        models: those that were measured.
        sources: the name or the path of each; None for one in memory.
        data: the pictures on which they were measured.
        data_dir: see `load_dataset`.
        command: the command that makes the page.
    """
    settings = _settings(evaluation.protocol)
    chosen = data.sample(_MEASURED, settings.seed)
    shown, groups = _choose(chosen)
    labels = [scores.label for scores in evaluation.models]
    by_label = dict(zip(labels, models, strict=True))
    own = [with_model_conditions(chosen, model.config.condition, callback=callback) for model in models]
    parts = [
        model_part(
            label,
            model,
            each,
            shown,
            groups,
            Context(feature_device(model.device), settings, labelled(callback, label)),
            has_accuracy="accuracy" in evaluation.metrics and len(groups) > 1,
        )
        for (label, model), each in zip(by_label.items(), own, strict=True)
    ]
    ends = [] if len(shown) < 2 else [chosen.conditions.text(row) for row in _ends(shown)]
    callback(Progress("report: figures", 0, None))
    runs = find_runs(sources)
    data_name = short_name(evaluation.protocol["dataset"])
    return Page(
        title=f"{', '.join(labels) if len(labels) < _NAMED else f'{len(labels)} models'} on {data_name}",
        subtitle=f"{len(data):,} pictures of the {data.split} split of {data_name}, {_size(data)}.",
        table=Table(report.columns(evaluation), report.rows(evaluation), _footer(evaluation)),
        warnings=list(dict.fromkeys(evaluation.warnings)),
        protocol=list(_flat(evaluation.protocol)),
        models=parts,
        originals=originals(chosen, shown),
        measured=len(chosen),
        seed=settings.seed,
        has_captions=not isinstance(chosen.conditions, Labels),
        classes=_classes(chosen, groups, parts),
        latents=draw_spaces(by_label, data, seed=settings.seed, data_dir=data_dir, callback=callback),
        interpolation=interpolate(by_label, own, _ends(shown), settings) if len(shown) > 1 else None,
        trades=draw(draw_trades([part.trade for part in parts]), _describe_trades(parts)),
        curves=_curves(runs) if runs else None,
        commands=make_commands(
            command, sources, _names(chosen, shown), ends, settings, data_options(data, data_dir=data_dir)
        ),
    )


def _footer(evaluation: Evaluation) -> list[str]:
    """What the scores depend on, in short; the page has the details."""
    return report.footer(evaluation).replace(" · details: --json", "").split("\n")


def _settings(protocol: Mapping[str, Any]) -> Settings:
    """Return the settings of the evaluation, from its protocol."""
    guidance = protocol["guidance"]
    return Settings(
        seed=protocol["seed"],
        temperature=protocol["temperature"],
        guidance=None if isinstance(guidance, str) else guidance,
        reconstruction="mean" if protocol["reconstruction"].endswith("mean") else "sample",
    )


def _choose(data: Dataset) -> tuple[Int64[np.ndarray, " k"], list[Int64[np.ndarray, " _"]]]:
    """Return which pictures to show, one of each class if there are classes, and the pictures of each class."""
    if not isinstance(data.conditions, Labels):
        return np.arange(min(_SHOWN, len(data))), []
    indices = data.conditions.indices
    groups = [np.flatnonzero(indices == label) for label in np.unique(indices)]
    return np.array([rows[0] for rows in groups[:_SHOWN]]), groups


def _ends(shown: Int64[np.ndarray, " k"]) -> tuple[int, int]:
    """The two pictures between whose prompts the page interpolates: the first, and one far from it."""
    return int(shown[0]), int(shown[(len(shown) + 1) // 2])


def _names(data: Dataset, shown: Int64[np.ndarray, " k"]) -> list[str]:
    return [data.conditions.text(row) for row in shown.tolist()]


def _classes(data: Dataset, groups: Sequence[Int64[np.ndarray, " _"]], parts: Sequence[ModelPart]) -> Classes | None:
    """Return the means of each class."""
    if len(groups) < 2:
        return None
    columns = {name: label for name, label in _CLASS_COLUMNS.items() if name in parts[0].values}
    rows = [
        ClassRow(
            name=data.conditions.text(int(rows[0])),
            pictures=len(rows),
            values=[f"{part.values[name][rows].mean():.4g}" for part in parts for name in columns],
        )
        for rows in groups
    ]
    return Classes(list(columns.values()), rows)


def _curves(runs: Sequence[str]) -> Drawing:
    histories = read_histories(runs)
    best = [
        f"{history.label} {min(epoch.valid.negative_elbo for epoch in epochs):.5g}"
        for history in histories
        for epochs in [history.prior or history.model]
    ]
    return draw(draw_curves(histories), f"Loss curves. Lowest -ELBO of the validation pictures: {', '.join(best)}")


def _describe_trades(parts: Sequence[ModelPart]) -> str:
    models = [f"{part.label}: rate {part.trade.rate:.4g}, distortion {part.trade.distortion:.4g}" for part in parts]
    return f"Rate and distortion. {'; '.join(models)}"


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the entries of nested mappings, each with its whole name."""
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{name} · ")
        else:
            yield prefix + name.replace("_", " "), str(value)


def _size(data: Dataset) -> str:
    shape = data.image_shape
    return f"{shape.size} × {shape.size} pixels, {'grey' if shape.channels == 1 else 'in colour'}"
