"""Learning rate schedules and the moving average of weights."""

import torch

from cvae_cli.config.recipe import TrainingSettings
from cvae_cli.training.ema import EMA
from cvae_cli.training.schedule import learning_rate, rate_weight


def test_one_cycle_rises_to_its_peak_and_falls_to_almost_nothing() -> None:
    settings = TrainingSettings(epochs=1, learning_rate=0.01, schedule="one-cycle")
    rates = [learning_rate(settings, step, 100) for step in range(100)]
    assert max(rates) == rates[9] == 0.01
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert 0 < rates[-1] < 1e-4


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


def test_no_average_is_the_weights_themselves() -> None:
    layer = torch.nn.Linear(1, 1)
    ema = EMA(layer, 0.0)
    ema.update(0)
    weight = layer.weight.item()
    with ema.applied():
        assert layer.weight.item() == weight
    assert ema.average == {}
