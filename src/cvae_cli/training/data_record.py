"""What a run learns from: recorded when it begins, and compared when it is resumed."""

import hashlib
import json
from typing import Any

import numpy as np

from cvae_cli.data.catalog import short_name, validation_split
from cvae_cli.data.conditions import Captions, Labels, class_changes
from cvae_cli.data.dataset import Dataset
from cvae_cli.data.prepared import pixels_digest
from cvae_cli.errors import CvaeError, UsageError
from cvae_cli.events import Callback, Notice
from cvae_cli.models.pretrained import read_config
from cvae_cli.paths import write_text
from cvae_cli.training.run import Run

_HINT = "put its folders and captions back as they were, or start a new run"


def record_data(run: Run, train: Dataset, validation: Dataset) -> None:
    """Record what a run learns from, unless that has been done."""
    if _read(run) is None:
        write_text(run.data_file, json.dumps(_describe(train, validation)))


def check_data(run: Run, train: Dataset, validation: Dataset, callback: Callback) -> None:
    """Compare what a run is about to learn from with what it began with.

    Args:
        callback: receives a notice if pictures or captions are others.

    Raises:
        UsageError: the classes are others. The message names them.
    """
    before = _recorded(run)
    now = _describe(train, validation)
    name = short_name(train.name)
    if "classes" in before:
        _check_classes(name, before["classes"], now["classes"])
    has_chosen_otherwise = now["classes"] is not None or validation_split(train.name) is not None
    if "training" not in before and train.prepared is not None and has_chosen_otherwise:
        callback(
            Notice(
                f"the run began with an earlier version, which chose the training pictures of {name} in another way",
                is_warning=True,
            )
        )
    for part in ("training", "validation"):
        these, those = now[part], before.get(part)
        if not isinstance(those, dict):
            continue
        if those.get("pictures") != these["pictures"]:
            change = f"{these['pictures']:,} {part} pictures, and had {those.get('pictures')} when the run began"
        elif None not in (these["pixels"], those.get("pixels")) and these["pixels"] != those.get("pixels"):
            change = f"other {part} pictures than when the run began"
        elif these["conditions"] != those.get("conditions"):
            what = "captions" if now["classes"] is None else "classes"
            change = f"other {what} for its {part} pictures than when the run began"
        else:
            continue
        callback(Notice(f"{name} has {change}", is_warning=True))


def _check_classes(name: str, before: list[str] | None, now: list[str] | None) -> None:
    """Raise a UsageError if the classes differ; None are captions."""
    if before == now:
        return
    if before is None or now is None:
        had, has = ("classes", "captions") if now is None else ("captions", "classes")
        raise UsageError(f"{name} had {had} when the run began, and has {has} now", hint=_HINT)
    raise UsageError(f"{name} has other classes than when the run began ({class_changes(before, now)})", hint=_HINT)


def _recorded(run: Run) -> dict[str, Any]:
    """Return the record of a run; for a run of an earlier version, what its models say of the classes."""
    if (record := _read(run)) is not None:
        return record
    for folder in (run.last_model, run.kept_model):
        try:
            condition = read_config(folder).condition
        except (CvaeError, OSError):  # a stage that has no model yet
            continue
        return {"classes": condition.names if condition.kind == "labels" else None}
    return {}


def _read(run: Run) -> dict[str, Any] | None:
    """Return the record of a run, or None if it has none that can be read."""
    try:
        record = json.loads(run.data_file.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) and "classes" in record else None


def _describe(train: Dataset, validation: Dataset) -> dict[str, Any]:
    """Return the record of two parts of a data set."""
    classes = train.conditions.classes if isinstance(train.conditions, Labels) else None
    return {
        "classes": None if classes is None else [each.name for each in classes],
        "training": _describe_part(train),
        "validation": _describe_part(validation),
    }


def _describe_part(part: Dataset) -> dict[str, Any]:
    return {"pictures": part.pictures, "pixels": _pixels(part), "conditions": _conditions(part.conditions)}


def _pixels(part: Dataset) -> str | None:
    """Return a digest of the pictures, or None for prepared pictures of an earlier version, which have no digests."""
    if part.prepared is None:
        whole = pixels_digest(np.ascontiguousarray(part.pixels))
    elif part.prepared.chunks:
        whole = json.dumps(part.prepared.chunks)
    else:
        return None
    return hashlib.sha256(whole.encode() + part.rows.tobytes()).hexdigest()


def _conditions(conditions: Labels | Captions) -> str:
    """Return a digest of the classes or the captions of all pictures."""
    digest = hashlib.sha256()
    if isinstance(conditions, Labels):
        digest.update(conditions.indices.tobytes())
    else:
        digest.update(conditions.first.tobytes() + conditions.count.tobytes())
        for sentence in conditions.sentences:
            digest.update(sentence.encode(errors="replace") + b"\0")
    return digest.hexdigest()
