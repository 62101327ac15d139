"""Every kind of settings has a module that is built from it."""

from typing import Any, get_args

import pytest

from cvae_cli.config import model as config
from cvae_cli.models.build import LIKELIHOODS, NETWORKS, PRIORS


@pytest.mark.parametrize(
    ("union", "table"),
    [(config.Network, NETWORKS), (config.Likelihood, LIKELIHOODS), (config.Prior, PRIORS)],
    ids=["networks", "likelihoods", "priors"],
)
def test_the_table_has_exactly_the_settings_of_the_union(union: Any, table: dict[type, Any]) -> None:
    assert set(table) == set(get_args(get_args(union)[0]))
