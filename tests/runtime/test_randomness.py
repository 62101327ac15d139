"""Noise that depends only on the seed and the number of a picture."""

import pytest
import torch

from cvae_cli.runtime.randomness import noise


def test_row_depends_on_seed_and_index_alone() -> None:
    whole = noise(7, range(100), (4, 5))
    assert torch.equal(noise(7, [42], (4, 5))[0], whole[42])
    assert torch.equal(noise(7, [99, 3], (4, 5)), whole[[99, 3]])


def test_seeds_and_indices_do_not_collide() -> None:
    rows = torch.cat([noise(seed, range(1000), (2,)) for seed in range(10)])
    assert len(rows.unique(dim=0)) == 10_000


def test_names_seeds_and_indices_do_not_collide() -> None:
    names = [f"prompt {number}" for number in range(100)]
    rows = torch.cat([noise(seed, [j] * 100, (2,), names=names) for seed in range(5) for j in range(20)])
    assert len(rows.unique(dim=0)) == 10_000
    assert torch.equal(noise(4, [19], (2,), names=["prompt 99"])[0], rows[-1])


@pytest.mark.parametrize("names", [None, ["dress"] * 10_000], ids=["without names", "one name"])
def test_noise_is_standard_normal(names: list[str] | None) -> None:
    values = noise(0, range(10_000), (10,), names=names)
    assert abs(values.mean()) < 0.01
    assert abs(values.std() - 1) < 0.01
    neighbours = (values[:-1] * values[1:]).mean()
    assert abs(neighbours) < 0.01
