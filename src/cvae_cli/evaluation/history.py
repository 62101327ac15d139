"""The history of a run: what its `metrics.jsonl` says about each epoch of each stage."""

import shlex
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cvae_cli.errors import CorruptError, UsageError
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.models.pretrained import stage_folders
from cvae_cli.paths import check_regular

METRICS_FILE = "metrics.jsonl"
"""The file of a run, or of one of its further stages, with a line for each epoch."""
_COMPARED = {"likelihoods": "architecture.likelihood.kind", "data sets": "data.name", "sizes of pictures": "data.size"}
RECIPE_FILE = "recipe.toml"
_MARKS = ("run.json", RECIPE_FILE)  # of a run that has no finished epoch yet


class _Line(BaseModel):
    """Numbers of a line. A newer version may have more of them."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False)


class Validation(_Line):
    """Means over the validation pictures, in nats a picture."""

    negative_elbo: float
    rate: float
    distortion: float


class Epoch(_Line):
    """A line of `metrics.jsonl`.

    Attributes:
        epoch: the number of the epoch, from 1.
        step: steps taken until its end.
        train: means of the losses over the epoch, by name: `rate` and `distortion` of a model, the latter alone of a
            decoder, `prior loss` and `guidance` of a prior.
        valid: the bound of the validation pictures.
        seconds: time since the start of the training.
    """

    epoch: int = Field(ge=1)
    step: int = Field(ge=0)
    train: dict[str, float]
    valid: Validation
    seconds: float


@dataclass(frozen=True)
class History:
    """What a run says about its epochs.

    Attributes:
        run: the folder.
        label: a short name that differs from those of the other runs.
        model: the epochs in which the model was trained; empty if there are none.
        prior: the epochs in which a prior was fitted to a finished model; empty if there are none.
    """

    run: Path
    label: str
    model: list[Epoch]
    prior: list[Epoch]


def read_histories(runs: Sequence[str | Path]) -> list[History]:
    """Read the histories of runs; one that is named twice is read once.

    Raises:
        UsageError: there is no run to read, a folder is not a run, or it has no finished epoch yet.
        CorruptError: a file of metrics is damaged.
    """
    if not runs:
        raise UsageError("there is no run to plot")
    folders = list({folder.resolve(): folder for folder in map(Path, runs)}.values())
    return [_read_run(folder, label) for folder, label in zip(folders, distinct_labels(folders), strict=True)]


def comparison_warnings(histories: Sequence[History]) -> list[str]:
    """Return sentences about runs whose numbers cannot be compared."""
    recipes = [_read_recipe(history.run) for history in histories]
    return [
        f"the runs have different {what}: their -ELBOs and distortions cannot be compared"
        for what, key in _COMPARED.items()
        if len({value for recipe in recipes if (value := _setting(recipe, key)) is not None}) > 1
    ]


def read_epochs(folder: Path) -> list[Epoch]:
    """Read the metrics of the finished epochs of one stage; a stage without any has no file of them.

    Raises:
        CorruptError: the file is damaged.
    """
    path = folder / METRICS_FILE
    if not path.exists():
        return []
    check_regular(path)
    lines = path.read_bytes().splitlines()
    return [_parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]


def _read_run(folder: Path, label: str) -> History:
    stages = [epochs for each in stage_folders(folder) if (epochs := read_epochs(each))]
    if not stages:
        raise _nothing_there(folder)
    # A prior that is fitted to a finished model has a run of its own, so the losses tell which stage it is.
    models: list[Epoch] = []
    priors: list[Epoch] = []
    for epochs in stages:
        (models if "distortion" in epochs[0].train else priors).extend(epochs)
    return History(folder, label, models, priors)


def _parse(line: bytes, path: Path, number: int) -> Epoch:
    try:
        return Epoch.model_validate_json(line)
    except ValidationError as error:
        mistake = error.errors()[0]
        where = ".".join(map(str, mistake["loc"]))
        reason = f'"{where}": {mistake["msg"]}' if where else mistake["msg"]
        run = shlex.quote(str(path.parent))
        raise CorruptError(
            f"{path}, line {number}, is not the metrics of an epoch ({reason})",
            hint=f"a training writes the file again after each epoch:  cvae train --resume {run}",
        ) from error


def _nothing_there(folder: Path) -> UsageError:
    """The error for a folder without a finished epoch."""
    if any((folder / name).is_file() for name in _MARKS):
        return UsageError(f"{folder} has no finished epoch yet", hint="a run gets its first numbers after an epoch")
    parent = folder.absolute().parent
    inside = next((each for each in (parent, parent.parent) if (each / METRICS_FILE).is_file()), None)
    hint = f"it lies in one:  {inside}" if inside else "a run is a folder that cvae train has made"
    return UsageError(f"{folder} is not a run", hint=hint)


def _read_recipe(run: Path) -> dict[str, Any]:
    """Read the settings of a run, as they are; a run without a readable recipe has none."""
    try:
        return tomllib.loads((run / RECIPE_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}


def _setting(recipe: dict[str, Any], key: str) -> str | None:
    value: Any = recipe
    for part in key.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return None if value is None else str(value)
