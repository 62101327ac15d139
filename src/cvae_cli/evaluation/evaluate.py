"""Measure models on a data set: from names of models and metrics to scores with their protocol."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch

from cvae_cli.data.catalog import check_image_shape, check_name, evaluation_split, load_dataset
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context, RealFeatures, Reconstruction, Settings, feature_device
from cvae_cli.evaluation.measure import StoppedModel, check, evaluate_model, measure_seeds
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.evaluation.protocol import make_protocol, score_protocols
from cvae_cli.evaluation.repeats import combine_runs
from cvae_cli.evaluation.report import caveats
from cvae_cli.evaluation.result import Evaluation, ModelScores, StoppedEvaluationError
from cvae_cli.evaluation.selection import load_networks, select
from cvae_cli.events import Callback, Notice, ignore, labelled
from cvae_cli.models.cvae import CVAE, Source, load_model
from cvae_cli.models.pretrained import find_model, training_data, weights_sha256
from cvae_cli.models.seeds import seed_runs
from cvae_cli.paths import DEFAULT_MODEL
from cvae_cli.runtime.device import pick_device
from cvae_cli.runtime.distributed import local_device, process_group
from cvae_cli.text.condition import prepare_encoder

__all__ = ["Evaluation", "ModelScores", "check", "evaluate", "evaluate_model"]


def evaluate(
    models: Source | Sequence[Source] = DEFAULT_MODEL,
    *,
    metrics: str | Sequence[str] | None = None,
    dataset: str | None = None,
    split: str | None = None,
    samples: int | None = None,
    seed: int = 0,
    temperature: float = 1.0,
    guidance: float | None = None,
    reconstruction: Reconstruction = "sample",
    k: int = 64,
    clip: str | None = None,
    repeats: int = 1,
    data_dir: str | Path | None = None,
    device: str = "auto",
    callback: Callback = ignore,
) -> Evaluation:
    """Measure one or more models on the same pictures.

    Names, settings and combinations are checked before anything large is loaded. Several processes (torchrun) share
    the pictures, and each returns the scores of all.

    Args:
        models: a bundled name, a folder, `org/name` on the Hub, or a model in memory; or several of them. A model in
            memory stays on its device and is put into evaluation mode. A folder of runs with several seeds
            (`train_seeds`) has the means of their scores, with standard deviations.
        metrics: names of `metrics.catalog.METRICS`, also `METRIC:FEATURES` or a group of `metrics.catalog.GROUPS`; by
            default those that need no download. Metrics of a group that cannot be computed are left out, with a
            warning.
        dataset: a name of `data.catalog.names()`; the data set of the first model if absent.
        split: `test`, or `val` where there is no `test`, if absent.
        samples: how many pictures to measure on, drawn by the seed; all if absent.
        temperature: scales the noise of samples.
        guidance: the guidance scale of samples; each model's own if absent.
        reconstruction: whether pictures are reconstructed from a `sample` of the posterior or from its `mean`.
        k: posterior samples a picture for `iwae`.
        clip: the CLIP model of `clip-score` and `retrieval`, `ARCHITECTURE/TAG` or a folder; OpenAI's ViT-B/32 if
            absent.
        repeats: measure with this many seeds, `seed` and the ones after it; scores are means.
        data_dir: a folder with the data set's published files, instead of the cache.
        device: where to compute: `auto`, `cpu`, `cuda`, `cuda:N` or `mps`.
        callback: called with progress, and with notices, among them warnings about scores that may mislead, which the
            result has too.

    Raises:
        UsageError: an argument cannot be used as given, or does not fit a model.
        MissingError: files of a model, the data set or a metric that are not on this machine and cannot be downloaded.
        CorruptError: a damaged file.
        StoppedEvaluationError: Ctrl-C; it has the scores that were finished, if there are any.
    """
    settings = Settings(seed, temperature, guidance, reconstruction, k, clip, repeats)
    asked = [metrics] if isinstance(metrics, str) else list(metrics or [])
    catalog.check_names(asked, groups=True)
    if samples is not None and samples < 1:
        raise UsageError(f"samples must be at least 1, not {samples}")
    given = [models] if isinstance(models, Source) else list(dict.fromkeys(models))
    groups: list[list[Source]] = [list(seed_runs(each)) or [each] for each in given]
    sources = [source for group in groups for source in group]
    loaded, chosen_device = _load_models(sources, device, callback)
    dataset = dataset or training_data(loaded[0].config, option="--dataset", called=loaded[0].called)
    for model in loaded:
        model.prior.check_guidance(guidance)
    split = _check_data(loaded, dataset, split)
    selection = select(asked, loaded, dataset)

    context = Context(feature_device(chosen_device), settings, callback, dataset)
    selection = load_networks(selection, dataset, context)
    names = selection.names
    for model in loaded:  # before the data set: a missing encoder should not be found after a download of gigabytes
        prepare_encoder(model.config.condition, device=model.device, callback=callback)
    size = loaded[0].config.image.size
    whole = load_dataset(dataset, split, size=size, data_dir=data_dir, callback=callback)
    data = whole if samples is None else whole.sample(samples, seed)
    for model in loaded:
        check(names, model, data)

    warnings = [*selection.warnings(), *_warnings(names, loaded, data, context)]
    for text in warnings:
        callback(Notice(text, is_warning=True))
    labels = _labels(sources)
    scores: list[ModelScores] = []
    stopped = False
    is_measured_again = len(loaded) > 1 or (repeats > 1 and samples is None)
    real: dict[int | None, RealFeatures] | None = {} if is_measured_again else None
    with process_group(chosen_device):
        try:
            for model, label in zip(loaded, labels, strict=True):
                of_model = replace(context, callback=labelled(callback, label))
                scores.append(measure_seeds(model, whole, samples, names, of_model, real))
        except KeyboardInterrupt as stop:
            scores += [stop.scores] if isinstance(stop, StoppedModel) else []
            if not scores:
                raise
            stopped = True
    scores = [_with_source(*each) for each in zip(scores, sources, labels, strict=False)]
    scores = combine_runs(scores, [len(group) for group in groups], given, _labels(given))
    names = [name for name in names if any(name in each.scores for each in scores)]
    protocols = score_protocols(data, names, context)
    evaluation = Evaluation(
        models=[replace(each, protocols=protocols) for each in scores],
        metrics=names,
        protocol=make_protocol(data, names, context, chosen_device),
        warnings=[*warnings, *caveats(scores, names)],
    )
    if stopped:
        raise StoppedEvaluationError(evaluation)
    return evaluation


def _load_models(sources: Sequence[Source], device: str, callback: Callback) -> tuple[list[CVAE], torch.device]:
    """Load the models, and return them with the device to compute on."""
    if not sources:
        raise UsageError("there is no model to evaluate")
    in_memory = [source for source in sources if isinstance(source, CVAE)]
    chosen = in_memory[0].device if in_memory else pick_device(local_device(device))
    return [load_model(source, device=chosen, callback=callback) for source in sources], chosen


def _check_data(models: Sequence[CVAE], dataset: str, split: str | None) -> str:
    """Raise a UsageError if a model is not for pictures of the data set, or if there is no such split; return it."""
    for model in models:
        check_image_shape(model.config.image, dataset, called=model.called)
    split = split or evaluation_split(dataset)
    check_name(dataset, split)
    return split


def _warnings(metrics: Sequence[str], models: Sequence[CVAE], data: Dataset, context: Context) -> list[str]:
    """Return what metrics say before the models are measured, each sentence once."""
    wanted = [catalog.find_metric(name) for name in metrics]
    texts = (text for model in models for metric in wanted for text in metric.warnings(model, data, context))
    return list(dict.fromkeys(texts))


def _labels(sources: Sequence[Source]) -> list[str]:
    """A short label for each model."""
    return distinct_labels([source.called if isinstance(source, CVAE) else source for source in sources])


def _with_source(scores: ModelScores, source: Source, label: str) -> ModelScores:
    if isinstance(source, CVAE):
        return replace(scores, label=label)
    digest = weights_sha256(find_model(source))
    return replace(scores, label=label, source=str(source), weights_sha256=digest)
