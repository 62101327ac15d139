"""Every kind of settings has a class that is built from it."""

from typing import Any, get_args, get_type_hints

import pytest

from cvae_cli.config import model as config
from cvae_cli.models.build import find_implementation
from cvae_cli.models.likelihood import Likelihood
from cvae_cli.models.network import Network
from cvae_cli.models.prior import Prior


@pytest.mark.parametrize(
    ("union", "abstract"),
    [(config.Network, Network), (config.Likelihood, Likelihood), (config.Prior, Prior)],
    ids=["networks", "likelihoods", "priors"],
)
def test_settings_name_an_implementation_of_their_own(union: Any, abstract: type) -> None:
    implementations = [find_implementation(settings) for settings in get_args(get_args(union)[0])]
    assert len(set(implementations)) == len(implementations) > 2
    for implementation in implementations:
        built = implementation if isinstance(implementation, type) else get_type_hints(implementation)["return"]
        assert issubclass(built, abstract)
