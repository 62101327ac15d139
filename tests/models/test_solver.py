"""The steps of flow-matching priors."""

import math

import pytest

from cvae_cli.models.solver import adams_bashforth


def test_the_second_order_has_the_weights_of_the_textbook() -> None:
    first, *others = adams_bashforth(4, order=2, shift=1.0)
    assert (first.time, first.weights) == (1, pytest.approx((-0.25,)))
    assert [step.time for step in others] == [0.75, 0.5, 0.25]
    assert all(step.weights == pytest.approx((-0.375, 0.125)) for step in others)


def test_the_third_order_has_the_weights_of_the_textbook() -> None:
    step = adams_bashforth(3, order=3, shift=1.0)[2]
    assert step.weights == pytest.approx((-23 / 36, 16 / 36, -5 / 36))


@pytest.mark.parametrize("shift", [0.5, 1.0, 2.0])
def test_steps_of_any_length_go_from_noise_to_latent(shift: float) -> None:
    steps = adams_bashforth(7, order=3, shift=shift)
    assert sum(sum(step.weights) for step in steps) == pytest.approx(-1)
    lengths = [step.length for step in steps]
    assert min(lengths) > 0
    assert (
        all(length == pytest.approx(1 / 7) for length in lengths)
        if shift == 1
        else lengths == sorted(lengths, reverse=shift < 1)
    )


def error(steps: int, order: int) -> float:
    """Return the error for y' = y cos(5 t) from t = 1 to 0."""
    y, slopes = 1.0, []
    for step in adams_bashforth(steps, order=order, shift=1.5):
        slopes = [y * math.cos(5 * step.time), *slopes][: len(step.weights)]
        y += sum(weight * slope for weight, slope in zip(step.weights, slopes, strict=True))
    return abs(y - math.exp(-math.sin(5) / 5))


@pytest.mark.parametrize("order", [1, 2])
def test_twice_the_steps_have_the_error_of_their_order(order: int) -> None:
    assert error(200, order) / error(400, order) == pytest.approx(2**order, rel=0.1)


@pytest.mark.parametrize("shift", [1.0, 1.5])
def test_a_step_of_the_third_order_integrates_a_parabola_exactly(shift: float) -> None:
    steps = adams_bashforth(8, order=3, shift=shift)
    known = [steps[number].time for number in (5, 4, 3)]
    moved = sum(weight * time**2 for weight, time in zip(steps[5].weights, known, strict=True))
    assert moved == pytest.approx((steps[6].time ** 3 - steps[5].time ** 3) / 3)
