"""Conditions on scores: `cvae evaluate --fail-if`."""

import json
from pathlib import Path

import pytest
from conftest import FASHION, Command

from cvae_cli.errors import GateError, UsageError
from cvae_cli.evaluation.gates import check_gates, doubts, parse_gates, results
from cvae_cli.evaluation.result import Evaluation, ModelScores


def scored(label: str, **scores: float | None) -> ModelScores:
    return ModelScores(label, None, None, "gaussian", False, scores)


def test_a_condition_that_is_true_exits_7_after_the_scores_and_says_which(cvae: Command, quick_model: Path) -> None:
    arguments = ["evaluate", "--model", quick_model, "--data-dir", FASHION, "--samples", "20", "--metric", "mse"]
    done = cvae(*arguments, "--fail-if", "mse>0.5", "--fail-if", "ssim > 2", "--fail-if", "mse>=1e9")
    assert done.returncode == 7
    rows = dict(line.split("\t") for line in done.stdout.splitlines())
    assert list(rows) == ["mse", "ssim"]  # the metric of a condition is measured too
    last = done.stderr.splitlines()[-1]
    assert last == f'cvae: mse of quick is {rows["mse"]} (--fail-if "mse>0.5")'
    assert "ssim of" not in done.stderr

    passed = cvae(*arguments, "--fail-if", "mse<=0.5", "--json")
    assert passed.returncode == 0
    assert json.loads(passed.stdout)["gates"] == [{"condition": "mse<=0.5", "failed": []}]
    assert 'mse: lower is better, so --fail-if "mse<=0.5" fails for good scores' in passed.stderr


@pytest.mark.parametrize(
    ("condition", "said"),
    [
        ("fidd>60", 'no metric "fidd". Did you mean "fid"?'),
        ("fid", '"fid" is not a condition'),
        ("fid=60", '"fid=60" is not a condition'),
        ("fid!=60", "is not a condition"),
        ("fid==60", "is not a condition"),
        (">60", "is not a condition"),
        ("fid>", "is not a condition"),
        ("fid>60>70", "is not a condition"),
        ("", '"" is not a condition'),
        ("fid>sixty", '"sixty" in "fid>sixty" is not a finite number'),
        ("fid>nan", "is not a finite number"),
        ("fid>1e999", "is not a finite number"),
        ("fid>60%", "is not a finite number"),
    ],
)
def test_a_bad_condition_exits_2_before_anything_is_loaded(cvae: Command, condition: str, said: str) -> None:
    done = cvae("evaluate", "--model", "fashion", "--data-dir", "absent", "--fail-if", condition)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr.splitlines()[0]


@pytest.mark.parametrize(
    ("comparison", "fails_below", "fails_at", "fails_above"),
    [(">", False, False, True), (">=", False, True, True), ("<", True, False, False), ("<=", True, True, False)],
)
def test_the_limit_itself(comparison: str, fails_below: bool, fails_at: bool, fails_above: bool) -> None:
    (gate,) = parse_gates([f"fid{comparison}60"])
    assert [gate.fails(scored("a", fid=score)) for score in (59.9, 60, 60.1)] == [fails_below, fails_at, fails_above]


def test_a_score_without_a_value_never_passes() -> None:
    models = [scored("a", fid=None), scored("b", fid=float("nan")), scored("c", fid=3.0)]
    with pytest.raises(GateError) as caught:
        check_gates(Evaluation(models, ["fid"], {}), parse_gates(["fid>60"]))
    assert caught.value.exit_code == 7
    assert caught.value.message == 'fid of a has no value (--fail-if "fid>60")'
    assert caught.value.hint == 'fid of b has no value (--fail-if "fid>60")'


def test_the_document_names_all_that_fail_and_nothing_without_conditions() -> None:
    measured = Evaluation([scored("a", fid=61.0), scored("b", fid=59.0), scored("c", fid=None)], ["fid"], {})
    assert results(measured, parse_gates(["fid>60"])) == {"gates": [{"condition": "fid>60", "failed": ["a", "c"]}]}
    assert results(measured, []) == {}


def test_conditions_are_read_once_each() -> None:
    assert [str(gate) for gate in parse_gates(["fid>60", " fid > 60.0 ", "psnr<=-1e-3"])] == ["fid>60", "psnr<=-0.001"]
    with pytest.raises(UsageError, match="no metric"):
        parse_gates(["quality<1"])
    assert doubts(parse_gates(["mse>1", "ssim<0.5", "rate>3", "rate<3"])) == []
