"""Build the network, the likelihood and the prior of a model from their settings.

The unions `Network`, `Likelihood` and `Prior` in `config/model.py` list which there are. Each settings class names the
class that is built from it. The abstract classes in `network`, `likelihood` and `prior` say how they are constructed.
"""

from pkgutil import resolve_name
from typing import Any

from cvae_cli.config import model as config
from cvae_cli.config.condition import ConditionSettings
from cvae_cli.models.likelihood import Likelihood
from cvae_cli.models.network import Network
from cvae_cli.models.prior import Prior


def build_network(settings: config.ModelConfig) -> Network:
    """Build the network of a model.

    Raises:
        UsageError: the network does not fit the size of the pictures.
    """
    network: Network = find_implementation(settings.architecture.network)(settings)
    return network


def build_likelihood(settings: config.Likelihood, *, channels: int) -> Likelihood:
    """Build a likelihood of pictures with 1 or 3 channels."""
    likelihood: Likelihood = find_implementation(settings)(settings, channels=channels)
    return likelihood


def build_prior(settings: config.Prior, *, latent_shape: tuple[int, ...], condition: ConditionSettings | None) -> Prior:
    """Build a prior p(z | c), or p(z) if there is no condition."""
    prior: Prior = find_implementation(settings)(settings, latent_shape=latent_shape, condition=condition)
    return prior


def find_implementation(settings: config.Part | type[config.Part]) -> Any:
    """Return the class that settings name, or the function that chooses one."""
    return resolve_name(f"{__package__}.{settings.implementation}")
