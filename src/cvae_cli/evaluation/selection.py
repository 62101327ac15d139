"""Which metrics are computed: those asked for, those of a group that can be, or those by default."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from cvae_cli.errors import MissingError, UsageError
from cvae_cli.evaluation.context import Context
from cvae_cli.evaluation.metrics import catalog
from cvae_cli.models.cvae import CVAE


@dataclass(frozen=True)
class Selection:
    """The metrics to compute.

    Attributes:
        names: in the order in which they were asked for, each once.
        optional: those that only a group names; they are left out if they cannot be computed.
        left_out: those that were, by the reason.
    """

    names: list[str]
    optional: frozenset[str] = frozenset()
    left_out: dict[str, list[str]] = field(default_factory=dict)

    def without(self, failed: dict[str, str]) -> "Selection":
        """Return the selection without these metrics, each with the reason.

        Raises:
            UsageError: none is left.
        """
        left_out = {reason: list(names) for reason, names in self.left_out.items()}
        for name, reason in failed.items():
            left_out.setdefault(reason, []).append(name)
        names = [name for name in self.names if name not in failed]
        if not names:
            raise UsageError("none of the metrics can be computed", hint="\n".join(_sentences(left_out)))
        return Selection(names, self.optional, left_out)

    def warnings(self) -> list[str]:
        """Return a sentence for each reason why metrics were left out."""
        return _sentences(self.left_out)


def select(metrics: Sequence[str], models: Sequence[CVAE], dataset: str) -> Selection:
    """Choose the metrics of models on a data set, before anything large is loaded.

    Args:
        metrics: names, also of `catalog.GROUPS`; those by default if there are none.

    Raises:
        UsageError: a metric that was asked for by its name is not defined for a model or the data set.
    """
    catalog.check_names(metrics, groups=True)
    selection = _expand(metrics, dataset) if metrics else Selection(catalog.default_names(dataset, models))
    failed: dict[str, str] = {}
    for name in selection.names:
        metric = catalog.find_metric(name)
        try:
            for model in models:
                metric.check(model, dataset)
        except UsageError as error:
            if name not in selection.optional:
                raise
            failed[name] = error.message
            continue
        if name in selection.optional and not any(metric.is_meaningful(model) for model in models):
            failed[name] = metric.note
    return selection.without(failed)


def select_for_sets(metrics: Sequence[str], dataset: str) -> Selection:
    """Choose the metrics of sets of pictures; the real ones may be a data set.

    Args:
        metrics: names of metrics of sets, also of `catalog.GROUPS`; those by default if there are none.

    Raises:
        UsageError: groups of metrics none of which is of sets.
    """
    catalog.check_names(metrics, groups=True)
    if not metrics:
        return Selection(catalog.default_set_names(dataset))
    of_sets, selection = catalog.set_names(), _expand(metrics, dataset)
    names = [name for name in selection.names if name not in selection.optional or name in of_sets]
    if not names:
        raise UsageError("none of the metrics is of sets of pictures", hint=f"metrics of sets: {', '.join(of_sets)}")
    return Selection(names, selection.optional)


def load_networks(selection: Selection, dataset: str | None, context: Context) -> Selection:
    """Load the networks that the metrics need, and return the metrics that have theirs.

    Raises:
        MissingError: weights of a metric that was asked for by its name; the hint suggests one that needs no download.
    """
    failed: dict[str, str] = {}
    missing: dict[str, MissingError] = {}  # by the features, so that a server is not asked again
    for name in selection.names:
        features = catalog.find_metric(name).features
        if features is None:
            continue
        try:
            if features in missing:
                raise missing[features]
            context.extractor(features)
        except MissingError as error:
            missing[features] = error
            if name not in selection.optional:
                raise MissingError(error.message, hint=f"{error.hint}\n{_offline(name, dataset)}") from error
            failed[name] = error.message
    return selection.without(failed)


def _expand(metrics: Sequence[str], dataset: str) -> Selection:
    """Replace groups by their metrics that are defined for pictures of a data set."""
    names = [each for name in metrics for each in (catalog.group_names(name) if name in catalog.GROUPS else [name])]
    optional = frozenset(names) - frozenset(metrics)
    foreign = {name for name in optional if catalog.find_metric(name).dataset not in {None, dataset}}
    if "fid-fashion" in names and "fid-fashion" not in foreign:
        foreign |= optional & {"frechet"}  # the same distance
    return Selection([name for name in dict.fromkeys(names) if name not in foreign], optional)


def _offline(name: str, dataset: str | None) -> str:
    """Suggest a metric in place of one whose weights are missing."""
    for other in catalog.find_metric(name).alternatives:
        if catalog.find_metric(other).dataset in {None, dataset}:
            return f"or measure offline, on other features:  --metric {other}"
    return "or measure what needs no download:  --metric ssim"


def _sentences(left_out: dict[str, list[str]]) -> list[str]:
    return [f"left out: {', '.join(names)} ({reason})" for reason, names in left_out.items()]
