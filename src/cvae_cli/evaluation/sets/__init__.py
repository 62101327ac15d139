"""Measure sets of pictures against real ones, without a model: from folders to scores with their protocol."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cvae_cli.data.originals import Originals, find_originals
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context, Settings, feature_device
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.metrics.set_metric import SetMetric
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.evaluation.protocol import score_protocol, versions
from cvae_cli.evaluation.report import caveats
from cvae_cli.evaluation.result import SetEvaluation, SetScores, StoppedEvaluationError
from cvae_cli.evaluation.selection import load_networks, select_for_sets
from cvae_cli.evaluation.sets.picture_stream import feed
from cvae_cli.evaluation.sets.real_side import RealSide, SetMetrics, check_real_side, measure_real_side
from cvae_cli.evaluation.streams import PictureBatch
from cvae_cli.events import Callback, Notice, Progress, ignore
from cvae_cli.runtime.device import pick_device
from cvae_cli.runtime.distributed import environment_world, local_device, process_group

Pictures = str | Path
"""A folder, a .tar file, a folder of .tar files, or the name of a data set."""


def evaluate_sets(
    real: Pictures | None,
    generated: Pictures | Sequence[Pictures],
    *,
    metrics: str | Sequence[str] | None = None,
    reference: str | Path | None = None,
    split: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    clip: str | None = None,
    data_dir: str | Path | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> SetEvaluation:
    """Measure one or more sets of generated pictures against the same real ones.

    Pictures go to a feature extractor in their own size, and it resizes them as published. Several processes (torchrun)
    share the pictures, and each returns the scores of all.

    Args:
        real: the real pictures; None where `reference` has their statistics, or where no metric needs them.
        generated: a set, or several.
        metrics: names of `metrics.catalog.METRICS` that compare sets; by default those that need no download.
        reference: a file with the statistics of the real pictures. It is read and verified where it exists, and written
            otherwise. One of pytorch-fid (.npz) can be read for `fid`.
        split: of data sets; `test`, or `val` where there is no `test`, if absent.
        samples: how many pictures of each set to measure, drawn by the seed; all if absent.
        seed: of what metrics draw at random.
        clip: the CLIP model of `clip` features; OpenAI's ViT-B/32 if absent.
        data_dir: a folder with the published files of data sets, instead of the cache.
        device: where to compute: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        callback: called with progress, and with notices, among them warnings, which the result has too.

    Raises:
        UsageError: an argument cannot be used as given.
        MissingError: pictures, or the weights of a feature extractor, that are not on this machine.
        CorruptError: a damaged file, or more than 1% of damaged pictures.
        StoppedEvaluationError: Ctrl-C; it has the scores that were finished, if there are any.
    """
    settings = Settings(seed=seed, clip=clip)
    if samples is not None and samples < 1:
        raise UsageError(f"samples must be at least 1, not {samples}")
    sources = [str(each) for each in ([generated] if isinstance(generated, Pictures) else dict.fromkeys(generated))]
    if not sources:
        raise UsageError("there are no generated pictures to measure")
    asked = [metrics] if isinstance(metrics, str) else list(metrics or [])
    _set_metrics(name for name in asked if name not in catalog.GROUPS)

    def find(source: Pictures) -> Originals:
        folder = None if data_dir is None else Path(data_dir)
        found = find_originals(str(source), split=split, data_dir=folder, callback=callback)
        for text in found.notes:
            callback(Notice(text))
        return found.sample(samples, seed)

    real_pictures = None if real is None else find(real)
    sets = [find(source) for source in sources]
    dataset = real_pictures.dataset if real_pictures else ""
    selection = select_for_sets(asked, dataset)
    path = None if reference is None else Path(reference)
    chosen = _set_metrics(selection.names)
    known = check_real_side(real_pictures, path, chosen)
    for metric in chosen:
        for each in [*sets, *([real_pictures] if real_pictures and metric.needs_real else [])]:
            _check_number(metric, each)

    chosen_device = pick_device(local_device(device))
    context = Context(feature_device(chosen_device), settings, callback, dataset)
    selection = load_networks(selection, dataset, context)
    chosen = _set_metrics(selection.names)
    with process_group(chosen_device):
        side = measure_real_side(real_pictures, path, known, chosen, context)
        comparison = _Comparison(chosen, side, context, selection.warnings())
        try:
            for source, pictures, label in zip(sources, sets, distinct_labels(sources), strict=True):
                comparison.measure(source, pictures, label)
        except KeyboardInterrupt:
            comparison.stop()
            raise
    return comparison.evaluation()


class _Comparison:
    """The scores of sets against one real side, as far as they are finished."""

    def __init__(self, metrics: SetMetrics, side: RealSide, context: Context, warnings: Iterable[str]) -> None:
        self._metrics, self._side, self._context = metrics, side, context
        self._scored: list[SetScores] = []
        self._warnings = list(side.warnings)
        self._warn(warnings)

    def measure(self, source: str, pictures: Originals, label: str) -> None:
        """Measure one set."""
        own = self._context.for_next_model()
        for metric in self._metrics:
            self._warn(metric.set_warnings(len(pictures), self._side.about.get("pictures", len(pictures)), own))
        instances = [metric(own) for metric in self._metrics]
        for instance in instances:
            if instance.needs_real:
                instance.load_real_state(self._side.states[own.features_name(str(instance.features))])
        extractors = list(dict.fromkeys(instance.extractor for instance in instances))

        def update(batch: PictureBatch) -> None:
            for instance in instances:
                instance.update_generated(batch)

        facts = feed(pictures, extractors, update, self._context, task=label)
        self._warn(facts.warnings(pictures.source))
        if facts.sha256 == self._side.about.get("sha256"):
            self._warn([f"{label} has the same pictures as the real side"])
        scored = SetScores(label, source, **facts.about(), scores={}, protocols=self._protocols(facts.pictures))
        self._scored.append(scored)
        for instance in instances:
            self._context.callback(Progress(f"{label}: scores", len(scored.scores), len(instances)))
            scored.scores[instance.name] = self._finite(instance.compute(), instance.name, label)
            if (deviation := instance.deviation()) is not None and math.isfinite(deviation):
                scored.deviations[instance.name] = deviation
            scored.details.update(instance.details())

    def stop(self) -> None:
        """Raise an error with the scores that are finished, if there are any."""
        finished = [each for each in self._scored if each.scores]
        if finished:
            whole = self.evaluation()
            names = [name for name in whole.metrics if any(name in each.scores for each in finished)]
            raise StoppedEvaluationError(replace(whole, sets=finished, metrics=names))

    def evaluation(self) -> SetEvaluation:
        """Return what is measured so far."""
        names, about, context = [metric.name for metric in self._metrics], self._side.about, self._context
        protocol = {
            "real": about.get("source"),
            "real_images": about.get("pictures"),
            "real_sizes": about.get("sizes"),
            "real_sha256": about.get("sha256"),
            "pictures": "RGB of 8 bits in their own size, upright, transparency on white; extractors resize them",
            "seed": context.settings.seed,
            "device": str(context.device),
            "precision": "fp32",
            "versions": versions(),
        }
        return SetEvaluation(self._scored, names, protocol, [*self._warnings, *caveats(self._scored, names)])

    def _protocols(self, generated: int) -> dict[str, dict[str, Any]]:
        """What each score depends on, apart from the generated pictures themselves."""
        numbers = {"real_images": self._side.about.get("pictures"), "generated_images": generated}
        return {
            metric.name: {
                **{key: value for key, value in numbers.items() if metric.needs_real or key != "real_images"},
                **score_protocol(metric.name, self._context),
            }
            for metric in self._metrics
        }

    def _finite(self, score: float | None, name: str, label: str) -> float | None:
        """Return a score, or None with a warning if it is not a finite number."""
        if score is None or math.isfinite(score):
            return score
        self._warn([f"{name} of {label} has no value: it is not a finite number"])
        return None

    def _warn(self, texts: Iterable[str]) -> None:
        for text in texts:
            if text not in self._warnings:
                self._warnings.append(text)
                self._context.callback(Notice(text, is_warning=True))


def _set_metrics(names: Iterable[str]) -> list[type[SetMetric]]:
    """Return the classes of metrics.

    Raises:
        UsageError: there is no such metric, or it measures models, not pictures.
    """
    found = [catalog.find_metric(name) for name in names]
    for metric in found:
        if not issubclass(metric, SetMetric):
            raise UsageError(
                f'"{metric.name}" measures a model: sets of pictures do not say enough',
                hint=f"metrics of sets: {', '.join(catalog.set_names())}",
            )
    return [metric for metric in found if issubclass(metric, SetMetric)]


def _check_number(metric: type[SetMetric], pictures: Originals) -> None:
    """Raise a UsageError if there are too few pictures for a metric, or for the processes."""
    if (n := len(pictures)) < metric.min_pictures:
        raise UsageError(
            f'"{metric.name}" needs at least {metric.min_pictures} pictures, and many to be reliable; '
            f"{pictures.source} has {n}"
        )
    if n < (world := environment_world()).size:
        raise UsageError(f"{pictures.source}: {n} pictures are too few for {world.size} processes")
