"""Scores of several seeds and runs as one, by hand."""

from dataclasses import replace

import pytest

from cvae_cli.evaluation.repeats import combine, combine_runs
from cvae_cli.evaluation.result import ModelScores


def scored(source: str | None, details: dict[str, int | float] | None = None, **scores: float | None) -> ModelScores:
    return ModelScores(source or "memory", source, "0" * 64, "gaussian", False, scores, details=details or {})


def test_means_and_deviations_with_n_minus_1() -> None:
    runs = [scored("a", {"n": 3, "m": x, "equal": 2.5}, mse=x, fid=fid) for x, fid in ((1, 4.0), (3, None), (8, 5.0))]
    one = combine(runs)
    assert one.scores == {"mse": 4, "fid": None}  # no mean of those runs alone that have a value
    assert one.deviations == {"mse": pytest.approx(13**0.5)}  # (9 + 1 + 16) / 2
    assert one.details == {"n": 3, "m": 4, "equal": 2.5}
    assert isinstance(one.details["n"], int)
    assert one.source == "a"


def test_a_single_run_keeps_the_deviation_of_its_metric() -> None:
    run = replace(scored("a", kid=0.2), deviations={"kid": 0.01})
    assert combine([run]) is run


def test_runs_become_one_and_single_models_keep_their_digest() -> None:
    runs = [scored("s/0", mse=1.0), scored("s/1", mse=2.0)]
    single, memory = scored("x", mse=7.0), scored(None, mse=8.0)
    several, alone, in_memory = combine_runs([*runs, single, memory], [2, 1, 1], ["s", "x", memory], ["S", "X", "M"])
    assert (several.label, several.source, several.weights_sha256) == ("S", "s", None)
    assert several.scores == {"mse": 1.5}
    assert several.runs == runs
    assert alone == replace(single, label="X")
    assert in_memory == memory


def test_a_source_that_stands_for_another_folder_counts_as_runs() -> None:
    """A folder of seeds with a single run so far."""
    (one,) = combine_runs([scored("s/0", mse=1.0)], [1], ["s/0"], ["S"])
    assert one == replace(scored("s/0", mse=1.0), label="S")


@pytest.mark.parametrize("measured", [0, 1, 2, 3, 4])
def test_a_stopped_evaluation_has_the_runs_that_are_complete(measured: int) -> None:
    scores = [scored("s/0", mse=1.0, fid=2.0), scored("s/1", mse=2.0, fid=3.0), scored("s/2", mse=4.0), scored("x")]
    combined = combine_runs(scores[:measured], [3, 1], ["s", "x"], ["S", "X"])
    assert [each.label for each in combined] == [[], ["S"], ["S"], ["S"], ["S", "X"]][measured]
    if combined:
        assert [run.source for run in combined[0].runs] == ["s/0", "s/1"][:measured]
