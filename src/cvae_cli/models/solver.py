"""The steps by which a flow-matching prior goes from noise to a latent."""

from dataclasses import dataclass
from itertools import pairwise
from math import prod


@dataclass(frozen=True)
class Step:
    """One step of an Adams-Bashforth method.

    Attributes:
        time: where the velocity is computed, from 1 (noise) to 0 (latent).
        weights: what the velocities count: this one first, then the earlier ones, as many as there are up to the order.
    """

    time: float
    weights: tuple[float, ...]

    @property
    def length(self) -> float:
        """How much time it takes."""
        return -sum(self.weights)


def adams_bashforth(steps: int, *, order: int, shift: float) -> list[Step]:
    """Plan the steps of y' = velocity(y, t) from t = 1 to 0.

    A step integrates the polynomial through the last velocities exactly (Hairer et al. 1993, "Solving Ordinary
    Differential Equations I", III.1), so steps may differ in length. The first ones have a lower order, because there
    are no earlier velocities.

    Args:
        steps: how many; the network is called once in each.
        order: how many velocities a step uses.
        shift: the times are s u / (1 + (s - 1) u) for u = 1, 1 - 1 / steps, ..., 0 (Esser et al. 2024, eq. 23).
    """
    times = [shift * u / (1 + (shift - 1) * u) for u in (1 - step / steps for step in range(steps + 1))]
    return [
        Step(begin, _weights(begin, end, times[max(0, number - order + 1) : number + 1][::-1]))
        for number, (begin, end) in enumerate(pairwise(times))
    ]


def _weights(begin: float, end: float, known: list[float]) -> tuple[float, ...]:
    """Integrate each Lagrange polynomial of the `known` times, at most three, from `begin` to `end`."""
    # Simpson's rule is exact for polynomials up to degree 3
    middle = (begin + end) / 2
    return tuple(
        (end - begin)
        / 6
        * sum(factor * _lagrange(at, number, known) for at, factor in ((begin, 1), (middle, 4), (end, 1)))
        for number in range(len(known))
    )


def _lagrange(at: float, number: int, known: list[float]) -> float:
    """Evaluate the polynomial that is 1 at `known[number]` and 0 at the others."""
    return prod(((at - other) / (known[number] - other) for other in known if other != known[number]), start=1.0)
