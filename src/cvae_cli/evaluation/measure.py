"""Measure one model: its streams of batches through the metrics, with one seed or several."""

from collections.abc import Sequence
from dataclasses import replace

from cvae_cli.data.batches import Batches
from cvae_cli.data.catalog import check_shapes
from cvae_cli.data.dataset import Dataset
from cvae_cli.errors import UsageError
from cvae_cli.evaluation.context import Context, RealFeatures, feature_device
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.evaluation.metrics.metric import Metric
from cvae_cli.evaluation.naming import distinct_labels
from cvae_cli.evaluation.repeats import combine
from cvae_cli.evaluation.result import ModelScores
from cvae_cli.evaluation.streams import BATCH_SIZE, STREAMS
from cvae_cli.events import Progress
from cvae_cli.models.cvae import CVAE
from cvae_cli.runtime.device import full_precision
from cvae_cli.runtime.distributed import get_world
from cvae_cli.text.condition import with_model_conditions


class StoppedModel(KeyboardInterrupt):
    """Ctrl-C while a model is measured; some of its scores are finished.

    Attributes:
        scores: those.
    """

    def __init__(self, scores: ModelScores) -> None:
        super().__init__()
        self.scores = scores


def evaluate_model(
    model: CVAE, dataset: Dataset, metrics: Sequence[str], *, context: Context | None = None
) -> ModelScores:
    """Measure one model on a data set whose conditions are of the model's kind.

    One sample is drawn for the condition of each picture (its class, or its first caption). Several processes share
    the pictures, and each returns the scores of all.

    Args:
        metrics: names of `metrics.catalog.METRICS`.
        context: settings, device and callback; by default the default settings on the device of the model.

    Raises:
        StoppedModel: Ctrl-C after some of the scores were finished.
    """
    check(metrics, model, dataset)
    if len(dataset) < get_world().size:
        raise UsageError(f"{len(dataset)} pictures are too few for {get_world().size} processes")
    model.eval()
    context = (context or Context(feature_device(model.device))).for_next_model(dataset.name)
    instances = [catalog.find_metric(name)(context) for name in metrics]
    batches = Batches(dataset, batch_size=BATCH_SIZE, device=model.device)
    scores: dict[str, float | int | None] = {}
    try:
        for stream, generate in STREAMS.items():
            if updated := [metric for metric in instances if metric.stream == stream]:
                with full_precision(model.device):
                    for batch in generate(model, batches, context):
                        for metric in updated:
                            metric.update(batch)
                for metric in updated:
                    context.callback(Progress("scores", len(scores), len(instances)))
                    scores[metric.name] = metric.compute()
    except KeyboardInterrupt:
        if scores:
            raise StoppedModel(_model_scores(model, instances, scores, len(dataset))) from None
        raise
    return _model_scores(model, instances, scores, len(dataset))


def measure_seeds(
    model: CVAE,
    whole: Dataset,
    samples: int | None,
    metrics: Sequence[str],
    context: Context,
    real: dict[int | None, RealFeatures] | None,
) -> ModelScores:
    """Measure a model with each of the seeds, each on the pictures that it draws.

    Args:
        real: the features of real pictures that are known, by the seed that draws them; None for all pictures. Others
            are added. If it is absent itself, none are kept.
    """
    runs: list[ModelScores] = []
    repeats = context.settings.repeats
    for seed in range(context.settings.seed, context.settings.seed + repeats):
        if samples is not None or not runs:
            data = whole if samples is None else whole.sample(samples, seed)
            data = with_model_conditions(data, model.config.condition, callback=context.callback)
        settings = replace(context.settings, seed=seed, repeats=1)
        known = None if real is None else real.setdefault(None if samples is None else seed, {})
        seeded = replace(context, settings=settings, real_features=known)
        try:
            runs.append(evaluate_model(model, data, metrics, context=seeded))
        except StoppedModel:
            if repeats == 1:
                raise
            raise KeyboardInterrupt from None  # some of the seeds have not the mean of all
    return combine(runs)


def check(metrics: Sequence[str], model: CVAE, dataset: Dataset) -> None:
    """Raise a UsageError if a model cannot be measured on a data set, or not by these metrics."""
    check_shapes(model.config.image, dataset.image_shape, dataset.name, called=model.called)
    for metric in map(catalog.find_metric, metrics):
        metric.check(model, dataset.name)
        if len(dataset) < metric.min_pictures:
            raise UsageError(f'"{metric.name}" needs at least {metric.min_pictures} pictures, and many to be reliable')


def _model_scores(
    model: CVAE, instances: Sequence[Metric], scores: dict[str, float | int | None], pictures: int
) -> ModelScores:
    """Return the scores that are finished, in the order of the metrics."""
    finished = [metric for metric in instances if metric.name in scores]
    deviations = {metric.name: metric.deviation() for metric in finished}
    return ModelScores(
        label=distinct_labels([model.called])[0],
        source=None,
        weights_sha256=None,
        likelihood=model.config.architecture.likelihood.kind,
        hybrid=model.config.hybrid,
        scores={metric.name: scores[metric.name] for metric in finished},
        details={
            **{f"{metric.name} samples": pictures for metric in finished if metric.depends_on_number},
            **{name: value for metric in finished for name, value in metric.details().items()},
        },
        deviations={name: value for name, value in deviations.items() if value is not None},
    )
