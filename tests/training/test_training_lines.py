"""Learning rate schedules, the moving average of weights, and the lines of a training."""

import io
import math
import re

import pytest
import torch

from cvae_cli.config.recipe import TrainingSettings
from cvae_cli.console.progress import Bar
from cvae_cli.training.ema import EMA
from cvae_cli.training.events import EpochEnd, EpochProgress, duration
from cvae_cli.training.schedule import learning_rate, rate_weight


def test_one_cycle_rises_to_its_peak_and_falls_to_almost_nothing() -> None:
    settings = TrainingSettings(epochs=1, learning_rate=0.01, schedule="one-cycle")
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert max(rates) == rates[9] == 0.01
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert rates[0] == pytest.approx(0.01 / 10)
    assert rates[55] == pytest.approx(0.01 * (0.001 + 0.999 / 2))  # half of the way down, to a thousandth of the peak
    assert rates[-1] == pytest.approx(0.01 * (0.001 + 0.999 * math.sin(math.pi / 180) ** 2))
    assert [learning_rate(settings, step, 3) for step in range(3)] == pytest.approx([0.01, 0.01, 0.01 * 0.5005])


def test_constant_schedule_is_constant() -> None:
    settings = TrainingSettings(epochs=1, learning_rate=0.01)
    assert {learning_rate(settings, step, 100) for step in range(100)} == {0.01}


def test_weight_of_the_rate_grows_to_beta() -> None:
    settings = TrainingSettings(epochs=4, beta=0.5, beta_warmup_epochs=2)
    weights = [rate_weight(settings, step, steps_per_epoch=10) for step in range(40)]
    assert weights[0] == 0.5 / 20
    assert weights[19:] == [0.5] * 21
    assert rate_weight(TrainingSettings(epochs=1, beta=0.5), 0, 10) == 0.5


def test_average_follows_and_swaps() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    ema = EMA(layer, 0.5)
    torch.nn.init.ones_(layer.weight)
    ema.update(step=1000)
    with ema.applied():
        assert layer.weight.item() == 0.5
    assert layer.weight.item() == 1.0
    assert not ema.average["weight"].requires_grad  # or it would remember all steps


def test_the_first_weights_are_soon_forgotten() -> None:
    layer = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(layer.weight)
    ema = EMA(layer, 0.99)
    torch.nn.init.ones_(layer.weight)
    ema.update(step=2)
    assert ema.average["weight"].item() == pytest.approx(1 - (1 + 2) / (10 + 2))


def test_no_average_is_the_weights_themselves() -> None:
    layer = torch.nn.Linear(1, 1)
    ema = EMA(layer, 0.0)
    ema.update(0)
    weight = layer.weight.item()
    with ema.applied():
        assert layer.weight.item() == weight
    assert ema.average == {}


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1:00 min"), (185, "3:05 min"),
     (3599.6, "1:00 h"), (7800, "2:10 h"), (400_000, "111:06 h")],
)  # fmt: skip
def test_times_are_said_with_their_unit(seconds: float, said: str) -> None:
    assert duration(seconds) == said


BOUND = {"rate": 13.9, "distortion": 225.0}


@pytest.mark.parametrize(
    ("losses", "validation", "line"),
    [
        (BOUND, (14.0, 225.6), "epoch  7/20 in 12 s: -ELBO 238.90 (rate 13.90), validation 239.60, the best yet"),
        ({"rate": 1234.5, "distortion": -25_000.0}, (1234.4, -25_000.4),
         "epoch  7/20 in 12 s: -ELBO -23766 (rate 1234), validation -23766, the best yet"),
        ({"prior loss": 1.9623}, (14.0, 225.6),
         "epoch  7/20 in 12 s: prior loss 1.962, validation -ELBO 239.60, the best yet"),
    ],
)  # fmt: skip
def test_the_line_of_an_epoch_explains_itself_in_80_columns(
    losses: dict[str, float], validation: tuple[float, float], line: str
) -> None:
    event = EpochEnd(epoch=7, epochs=20, losses=losses, validation_rate=validation[0],
                     validation_distortion=validation[1], epoch_seconds=12.3, seconds=84.0, is_best=True)  # fmt: skip
    assert str(event) == line
    assert len(line) <= 80


def test_the_progress_of_an_epoch_says_what_is_left() -> None:
    event = EpochProgress(task="epoch  7/20", done=3, total=9, epoch=7, losses=BOUND, images_per_second=4120.4,
                          seconds_left=72)  # fmt: skip
    assert event.detail == "-ELBO 238.90 · 4,120 img/s · 1:12 min left"


def test_the_bar_of_an_epoch_is_whole_in_80_columns(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    for name, value in {"COLUMNS": "80", "TERM": "xterm", "NO_COLOR": "1"}.items():
        monkeypatch.setenv(name, value)
    event = EpochProgress(task="epoch  7/20", done=3, total=9, epoch=7, losses={"rate": 13.9, "distortion": 225.0},
                          images_per_second=4120.4, seconds_left=725)  # fmt: skip
    terminal = Terminal()
    bar = Bar("training", terminal)
    bar.update(event.task, event.detail, event.done, event.total)
    bar.close()
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "\n", terminal.getvalue()).replace("\r", "\n").splitlines()
    (line,) = {line.rstrip() for line in lines if "epoch" in line}
    assert re.fullmatch(r"epoch  7/20 \S+ +-ELBO 238\.90 · 4,120 img/s · 12:05 min left +33%", line)
    assert len(line) <= 80
