"""The scores of several seeds as one: means and standard deviations."""

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, stdev

from cvae_cli.evaluation.result import ModelScores


def combine(runs: Sequence[ModelScores]) -> ModelScores:
    """Return the means of the scores of one model, with their standard deviations (n - 1) over the runs.

    A score that has no meaning in one run has none. The deviation of a single run is what the metric itself states.
    """
    first = runs[0]
    if len(runs) == 1:
        return first
    values = {name: [run.scores[name] for run in runs] for name in first.scores}
    known = {name: [v for v in each if v is not None] for name, each in values.items()}
    known = {name: each for name, each in known.items() if len(each) == len(runs)}
    return replace(
        first,
        scores={name: fmean(known[name]) if name in known else None for name in first.scores},
        deviations={name: stdev(each) for name, each in known.items()},
        details={name: _mean([run.details[name] for run in runs]) for name in first.details},
    )


def combine_runs(
    scores: Sequence[ModelScores], sizes: Sequence[int], sources: Sequence[object], labels: Sequence[str]
) -> list[ModelScores]:
    """Return the scores of each source: a single model's as they are, those of several runs as one.

    Args:
        scores: of all models, source by source. Where an evaluation was stopped, the last ones are missing; a run whose
            scores are not complete does not count then.
        sizes: how many models each source has.
        labels: a short name for each source.
    """
    combined = []
    rest = list(scores)
    for size, source, label in zip(sizes, sources, labels, strict=True):
        runs, rest = rest[:size], rest[size:]
        if size == 1:  # a model in memory keeps its label
            combined += [replace(run, label=label) if run.source == str(source) else run for run in runs]
        elif complete := [each for each in runs if each.scores.keys() == runs[0].scores.keys()]:
            one = replace(combine(complete), label=label, source=str(source), weights_sha256=None)
            combined.append(replace(one, runs=list(complete)))
    return combined


def _mean(values: Sequence[int | float]) -> int | float:
    """The mean; a number that is the same in all runs stays as it is."""
    return values[0] if len(set(values)) == 1 else fmean(values)
