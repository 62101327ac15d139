"""The real side of a comparison of sets: measured, or read from a file of statistics, or both."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cvae_cli.data.originals import Originals
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics.set_metric import SetMetric
from cvae_cli.evaluation.sets.picture_stream import feed, read_digests
from cvae_cli.evaluation.sets.reference import Reference, State, is_of_pytorch_fid, read_reference
from cvae_cli.evaluation.streams import PictureBatch
from cvae_cli.events import Notice
from cvae_cli.paths import check_writable
from cvae_cli.runtime.distributed import get_world

SetMetrics = Sequence[type[SetMetric]]


@dataclass(frozen=True)
class RealSide:
    """What the scores need of the real pictures.

    Attributes:
        about: `source`, `pictures`, `sizes` and `sha256` of them, as far as they are known; empty without any.
        states: by the name of the feature extractor.
        warnings: sentences about pictures that were left out or changed.
    """

    about: dict[str, Any] = field(default_factory=dict)
    states: dict[str, State] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def check_real_side(real: Originals | None, path: Path | None, metrics: SetMetrics) -> Reference | None:
    """Check that there is a real side, and that a file can be used for it; return the file's statistics.

    Called before anything large is loaded.

    Raises:
        UsageError: there is none, or the file cannot be used for it.
        MissingError: there is no file, and no pictures to make it of.
        CorruptError: the file is damaged.
    """
    if not any(metric.needs_real for metric in metrics):
        return None
    if path is None:
        if real is None:
            raise UsageError("there are no real pictures to compare with", hint="add  --real PICTURES")
        return None
    if real is None or path.exists():
        known = read_reference(path)
        if real is not None and is_of_pytorch_fid(path):
            raise UsageError(
                f"{path} does not say of which pictures it is: it cannot be compared with {real.source}",
                hint="leave out --real, or give a file that is not .npz",
            )
        return known
    if is_of_pytorch_fid(path):
        raise UsageError(f"no file {path}; statistics are not written as .npz", hint="--reference stats.safetensors")
    check_writable(path)
    return None


def measure_real_side(
    real: Originals | None, path: Path | None, known: Reference | None, metrics: SetMetrics, context: Context
) -> RealSide:
    """Return what metrics need of the real pictures: from `known`, and measured and written to `path` where it lacks.

    Raises:
        UsageError: the file is of other pictures or other features, or lacks what cannot be measured.
    """
    needing = [metric for metric in metrics if metric.needs_real]
    if not needing:
        return RealSide()
    states: dict[str, State] = {}
    if known is not None:
        assert path is not None
        features = dict.fromkeys(_features(metric, context) for metric in needing)
        states = {name: known.state(name, context.extractor(name), path) for name in features}
        if real is not None:
            _check_same(real, known, path, context)
    lacking = [metric for metric in needing if not _suffices(metric, states, context)]
    if not lacking:
        assert known is not None
        return RealSide(known.real, states)
    if real is None:
        names = ", ".join(metric.name for metric in lacking)
        raise UsageError(f"{path} lacks what {names} needs", hint="with --real as well, it is added")
    measured = _measure(real, lacking, context)
    if path is not None:
        _write(path, known, measured, context)
    for name, state in measured.states.items():
        states[name] = {**states.get(name, {}), **state}
    return RealSide(measured.about, states, measured.warnings)


def _measure(real: Originals, metrics: SetMetrics, context: Context) -> RealSide:
    """Read the real pictures, and return what metrics need of them."""
    own = context.for_next_model()
    instances = [metric(own) for metric in metrics]
    extractors = list(dict.fromkeys(metric.extractor for metric in instances))

    def update(batch: PictureBatch) -> None:
        for metric in instances:
            metric.update_real(batch)

    facts = feed(real, extractors, update, context, task="real pictures")
    warnings = facts.warnings(real.source)
    for text in warnings:
        context.callback(Notice(text, is_warning=True))
    states: dict[str, State] = {}
    for metric in instances:
        states.setdefault(_features(type(metric), context), {}).update(metric.real_state())
    return RealSide({"source": real.source, **facts.about()}, states, warnings)


def _write(path: Path, known: Reference | None, measured: RealSide, context: Context) -> None:
    """Write the statistics, with those that the file has already."""
    states = dict(known.states) if known else {}
    protocols = dict(known.protocols) if known else {}
    for name, state in measured.states.items():
        states[name] = {**states.get(name, {}), **state}
        protocols[name] = context.extractor(name).protocol
    if get_world().is_first:
        Reference(measured.about, states, protocols).write(path)
        context.callback(Notice(f"statistics of {measured.about['source']} in {path}"))


def _check_same(real: Originals, known: Reference, path: Path, context: Context) -> None:
    """Raise a UsageError if a file has the statistics of other pictures."""
    if read_digests(real, context, task="comparing real pictures").sha256 != known.real.get("sha256"):
        raise UsageError(
            f"{path} has the statistics of other pictures than those of {real.source}",
            hint="remove the file to make it anew, or leave out --real to use it as it is",
        )


def _suffices(metric: type[SetMetric], states: dict[str, State], context: Context) -> bool:
    """Whether a metric has all that it needs of the real side."""
    try:
        metric(context.for_next_model()).load_real_state(states.get(_features(metric, context), {}))
    except KeyError:
        return False
    return True


def _features(metric: type[SetMetric], context: Context) -> str:
    assert metric.features is not None
    return context.features_name(metric.features)
