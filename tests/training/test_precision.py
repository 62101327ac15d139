"""The decision of `--precision auto`."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import VARIANTS, data_for

from cvae_cli.config.recipe import Precision, Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.training import precision
from cvae_cli.training.precision import decide_precision

CPU = torch.device("cpu")
VARIANT = "map-modulate"


@pytest.fixture(autouse=True)
def no_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CVAE_HOME", str(tmp_path))


def recipe(asked: str = "auto") -> Recipe:
    return load_recipe("fashion-concat", VARIANTS[VARIANT] | {"training.precision": asked})


def test_what_is_asked_for_is_done() -> None:
    assert decide_precision(recipe("bf16"), data_for(VARIANT), CPU) == ("bf16", "")


def test_a_small_network_stays_in_full_precision_without_a_race() -> None:
    small = load_recipe("fashion-concat", VARIANTS["dense-concat"])
    assert decide_precision(small, data_for("dense-concat"), CPU) == ("fp32", "")


def test_a_large_one_is_timed_in_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 0)
    chosen, reason = decide_precision(recipe(), data_for(VARIANT), CPU)
    assert chosen in {"fp32", "bf16"}
    assert reason.startswith("bf16 is ")


@pytest.mark.parametrize(("seconds", "chosen"), [(0.05, "bf16"), (0.08, "bf16"), (0.09, "fp32"), (0.3, "fp32")])
def test_less_precision_must_be_worth_it(monkeypatch: pytest.MonkeyPatch, seconds: float, chosen: Precision) -> None:
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 0)
    monkeypatch.setattr(precision, "_time_steps", lambda *_: {"fp32": 0.1, "bf16": seconds})
    assert decide_precision(recipe(), data_for(VARIANT), CPU) == (
        chosen,
        f"bf16 is {0.1 / seconds:.1f} times as fast here",
    )


@pytest.mark.parametrize(
    ("happens", "chosen"),
    [
        (lambda file: None, "bf16"),
        (lambda file: file.write_text("{"), "fp32"),
        (lambda file: file.write_text("[]"), "fp32"),
        (lambda file: file.write_bytes(b"\xff"), "fp32"),
        (lambda file: (file.unlink(), file.mkdir()), "fp32"),
    ],
    ids=["whole", "torn", "of another kind", "no text", "a folder"],
)
def test_what_was_measured_is_remembered(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, happens: Callable[[Path], object], chosen: Precision
) -> None:
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 0)
    monkeypatch.setattr(precision, "_time_steps", lambda *_: {"fp32": 0.2, "bf16": 0.1})
    assert decide_precision(recipe(), data_for(VARIANT), CPU)[0] == "bf16"
    happens(tmp_path / "precision.json")
    monkeypatch.setattr(precision, "_time_steps", lambda *_: {"fp32": 0.1, "bf16": 0.1})
    assert decide_precision(recipe(), data_for(VARIANT), CPU)[0] == chosen


def test_another_batch_size_is_another_question(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 0)
    for seconds, batch_size, chosen in [(0.1, 16, "fp32"), (0.05, 32, "bf16"), (0.05, 16, "fp32")]:
        monkeypatch.setattr(precision, "_time_steps", lambda *_, each=seconds: {"fp32": 0.1, "bf16": each})
        asked = load_recipe("fashion-concat", VARIANTS[VARIANT] | {"training.batch_size": batch_size})
        assert decide_precision(asked, data_for(VARIANT), CPU)[0] == chosen
