"""The latent spaces of models side by side: where pictures lie, and how well their class can be read there."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float64

from cvae_cli.errors import UsageError
from cvae_cli.evaluation.latents.figure import MAX_NAMED, draw_latents
from cvae_cli.evaluation.latents.probe import Probe, linear_probe
from cvae_cli.evaluation.latents.projection import METHODS, MIN_PICTURES, Method, project
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.models.cvae import Source, load_model
from cvae_cli.models.latents import DatasetLatents, find_data
from cvae_cli.models.pretrained import training_data
from cvae_cli.models.sampling import check_sampling
from cvae_cli.pictures.figure import Theme
from cvae_cli.version import __version__

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TITLES: dict[Method, str] = {"tsne": "t-SNE", "pca": "PCA"}


@dataclass(frozen=True)
class LatentSpace:
    """The latents of one model.

    Attributes:
        label: a short name that differs from those of the other models.
        latents: of the pictures.
        points: where each picture lies in the plane.
        probe: how well its class can be read from its latent; absent if pictures have no classes.
    """

    label: str
    latents: DatasetLatents
    points: Float64[np.ndarray, "n 2"]
    probe: Probe | None


@dataclass(frozen=True)
class LatentSpaces:
    """The latents of the same pictures in one or more models.

    Attributes:
        spaces: one for each model, in the order in which the models were given.
        method: how latents became points in a plane.
        seed: which pictures were chosen, and the random numbers of t-SNE.
    """

    spaces: list[LatentSpace]
    method: Method
    seed: int

    def figure(self, *, theme: Theme = "light") -> "Figure":
        """Draw one panel a model, coloured by class."""
        panels = [(space.label, space.points, space.probe) for space in self.spaces]
        return draw_latents(panels, self.spaces[0].latents, title=self.title, theme=theme)

    @property
    def title(self) -> str:
        """What the figure shows, in a line."""
        shown = self.spaces[0].latents
        return f"{TITLES[self.method]} of the latents of {len(shown):,} pictures of {shown.dataset} ({shown.split})"

    def to_dict(self) -> dict[str, Any]:
        """The JSON document of `cvae latents --json`, without its files."""
        shown = self.spaces[0].latents
        models = [
            {
                "model": space.label,
                "latent_numbers": space.latents.means.shape[1],
                "probe_accuracy": None if space.probe is None else space.probe.accuracy,
            }
            for space in self.spaces
        ]
        probe = next((space.probe for space in self.spaces if space.probe), None)
        return {
            "models": models,
            "protocol": {
                "dataset": shown.dataset,
                "split": shown.split,
                "n": len(shown),
                "seed": self.seed,
                "method": self.method,
                "points": POINTS,
                "probe": None if probe is None else PROBE,
                "probe_pictures": None if probe is None else probe.pictures,
                "probe_chance": None if probe is None else probe.chance,
            },
        }

    @property
    def text(self) -> dict[str, Any]:
        """What the figure's file says: its title, and the numbers with their protocol."""
        return {"title": self.title, "latents": json.dumps(self.to_dict()), "software": f"cvae-cli {__version__}"}

    def csv(self) -> str:
        """The points as a table: for each model and picture its number in the split, what it shows, and its place."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["model", "picture", "class" if self.spaces[0].latents.classes else "caption", "x", "y"])
        for space in self.spaces:
            for row, shows, (x, y) in zip(space.latents.rows, space.latents.texts, space.points, strict=True):
                writer.writerow([space.label, int(row), shows, f"{x:.6g}", f"{y:.6g}"])
        return text.getvalue()


POINTS = "means of the posterior, given each picture's own condition"
PROBE = "samples of the posterior, logistic regression, 5-fold cross-validation: each picture is held out once"


def latent_spaces(
    models: Source | Sequence[Source],
    *,
    method: Method = "tsne",
    dataset: str | None = None,
    split: str | None = None,
    n: int = 2000,
    seed: int = 0,
    data_dir: str | Path | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> LatentSpaces:
    """Encode the same pictures with each model, lay the latents out in a plane, and read the classes from them.

    Args:
        models: a bundled name, a folder, `org/name` on the Hub, or a model in memory; or several of them.
        method: `tsne` or `pca`, see `METHODS`.
        dataset: a name of `data.catalog.names()`; the data set of the first model if absent.
        split: `test`, or `val` where there is no `test`, if absent.
        n: how many pictures, chosen by the seed; fewer if there are no more.
        data_dir: see `load_dataset`.
        device: see `pick_device`; a model in memory stays where it is.
        callback: receives the progress and notices.

    Raises:
        UsageError: an argument cannot be used as given, or does not fit a model.
        MissingError, CorruptError: files of a model or the data set are missing or damaged.
    """
    check_sampling(seed=seed, n=n)
    if method not in METHODS:
        raise UsageError(f'no method "{method}"', hint=f"methods: {', '.join(METHODS)}")
    _check_number(n)
    sources = [models] if isinstance(models, Source) else list(dict.fromkeys(models))
    if not sources:
        raise UsageError("there is no model")
    loaded = [load_model(source, device=device, callback=callback) for source in sources]
    dataset = dataset or training_data(loaded[0].config, option="--dataset", called=loaded[0].called)
    data = [find_data(model, dataset, split=split, data_dir=data_dir, callback=callback) for model in loaded]
    _check_number(min(map(len, data)))
    spaces = []
    labels = distinct_labels([model.called for model in loaded])
    for label, model, each in zip(labels, loaded, data, strict=True):
        latents = model.latents(each, n=n, seed=seed, callback=callback)
        callback(Progress(f"{label}: {TITLES[method]}", 0, None))
        points = project(latents.means, method, seed=seed)
        probe = None
        if latents.labels is not None:
            callback(Progress(f"{label}: linear probe", 0, None))
            probe = linear_probe(latents.samples, latents.labels, seed=seed)
        spaces.append(LatentSpace(label, latents, points, probe))
    if all(space.probe is None for space in spaces):
        callback(Notice("there is no linear probe: it needs two classes of two pictures each"))
    if (classes := len(set(spaces[0].latents.texts))) > MAX_NAMED and spaces[0].latents.classes:
        callback(Notice(f"the figure has no legend: there are {classes} classes, more than {MAX_NAMED}"))
    return LatentSpaces(spaces, method, seed)


def _check_number(n: int) -> None:
    if n < MIN_PICTURES:
        raise UsageError(f"{n} pictures are too few to show how they lie: at least {MIN_PICTURES}")
