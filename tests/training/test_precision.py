"""The decision of `--precision auto`."""

from pathlib import Path

import pytest
import torch
from conftest import FASHION, Command
from helpers import VARIANTS, data_for

from cvae_cli.config.recipe import Precision, Recipe
from cvae_cli.config.recipe_files import load_recipe
from cvae_cli.training import precision
from cvae_cli.training.precision import decide_precision

CPU, GPU = torch.device("cpu"), torch.device("cuda")
VARIANT = "map-modulate"
CHECKS = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")


def recipe(asked: str = "auto") -> Recipe:
    return load_recipe("fashion-concat", VARIANTS[VARIANT] | {"training.precision": asked})


def pretend(monkeypatch: pytest.MonkeyPatch, **features: bool) -> None:
    """Make the processor one with these features, and the network large enough for bf16."""
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 0)
    for check in CHECKS:
        monkeypatch.setattr(torch.cpu, check, lambda answer=features.get(check, False): answer)


def test_what_is_asked_for_is_done() -> None:
    assert decide_precision(recipe("bf16"), data_for(VARIANT), CPU) == ("bf16", "")


@pytest.mark.parametrize(
    ("feature", "chosen"), [("", "fp32"), ("_is_avx512_bf16_supported", "bf16"), ("_is_amx_tile_supported", "bf16")]
)
def test_the_processor_decides(monkeypatch: pytest.MonkeyPatch, feature: str, chosen: Precision) -> None:
    pretend(monkeypatch, **{feature: True})
    has = "has" if chosen == "bf16" else "has no"
    assert decide_precision(recipe(), data_for(VARIANT), CPU) == (
        chosen,
        f"this processor {has} instructions for bf16",
    )


def test_a_small_network_stays_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, _is_amx_tile_supported=True)
    monkeypatch.setattr(precision, "_SMALL_FLOPS", 1e6)
    small = load_recipe("fashion-concat", VARIANTS["dense-concat"] | {"training.precision": "auto"})
    chosen, reason = decide_precision(small, data_for("dense-concat"), CPU)
    assert (chosen, reason) == ("fp32", "bf16 is not faster for a network this small")


@pytest.mark.parametrize(
    ("batch_size", "compile_", "chosen"), [(128, False, "fp32"), (1024, False, "bf16"), (128, True, "bf16")]
)
def test_small_steps_on_a_gpu_stay_in_full_precision(
    monkeypatch: pytest.MonkeyPatch, batch_size: int, compile_: bool, chosen: Precision
) -> None:
    monkeypatch.setattr(precision, "computes_bf16", lambda device: device.type == "cuda")
    monkeypatch.setattr(precision, "_count_flops", lambda recipe, train: 20_000_000)  # 7.7 and 61 GFLOP a step
    changed = {"training.batch_size": batch_size, "training.compile": compile_, "training.precision": "auto"}
    decided, reason = decide_precision(load_recipe("fashion-concat", changed), data_for(VARIANT), GPU)
    assert decided == chosen
    said = "this GPU has instructions for bf16" if chosen == "bf16" else "bf16 is not faster for steps this small"
    assert reason == said


def test_it_is_said_and_recorded_and_nothing_is_measured(cvae: Command, tmp_path: Path) -> None:
    expected = "bf16" if any(getattr(torch.cpu, check)() for check in CHECKS) else "fp32"
    arguments = ["train", "fashion-concat", "--data-dir", FASHION, "--limit", "40", "--epochs", "1", "--device", "cpu"]
    done = cvae(*arguments, "--out", "run", env={"CVAE_HOME": str(tmp_path / "home")})
    assert done.returncode == 0, done.stderr
    assert f"precision: {expected} (this processor has " in done.stderr
    assert f'precision = "{expected}"' in (tmp_path / "run" / "recipe.toml").read_text()
    assert not (tmp_path / "home" / "precision.json").exists()
