"""What `--precision auto` decides."""

import pytest
import torch
from helpers import VARIANTS, data_for

from cvae_cli import recipes
from cvae_cli.recipes import Precision, Recipe
from cvae_cli.training import precision
from cvae_cli.training.precision import decide

CPU = torch.device("cpu")
VARIANT = "map-modulate"


def recipe(asked: str = "auto") -> Recipe:
    return recipes.load("fashion-concat", VARIANTS[VARIANT] | {"training.precision": asked})


def test_what_is_asked_for_is_done() -> None:
    assert decide(recipe("bf16"), data_for(VARIANT), CPU) == ("bf16", "")


def test_a_small_network_stays_in_full_precision_without_a_race() -> None:
    assert decide(recipe(), data_for(VARIANT), CPU) == ("fp32", "")


def test_a_large_one_is_timed_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_LITTLE", 0)
    chosen, reason = decide(recipe(), data_for(VARIANT), CPU)
    assert chosen in {"fp32", "bf16"}
    assert reason.startswith("bf16 is ")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.05, "bf16"), (0.08, "bf16"), (0.09, "fp32"), (0.3, "fp32")])
def test_less_precision_must_be_worth_it(monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: Precision) -> None:
    monkeypatch.setattr(precision, "_LITTLE", 0)
    monkeypatch.setattr(precision, "_time", lambda *_: {"fp32": 0.1, "bf16": seconds})
    assert decide(recipe(), data_for(VARIANT), CPU) == (chosen, f"bf16 is {0.1 / seconds:.1f} times as fast here")
