"""Which networks, likelihoods and priors there are, and how to build one from its settings.

Each is a class in its own module, listed in one of these tables under its settings class. The abstract classes
`Network`, `Likelihood` and `Prior` say how they are constructed.
"""

from collections.abc import Callable

from cvae_cli.config import model as config
from cvae_cli.config.base import Settings
from cvae_cli.models.article import article_network
from cvae_cli.models.bernoulli import Bernoulli
from cvae_cli.models.coupling_flow import CouplingFlow
from cvae_cli.models.dense import DenseNetwork
from cvae_cli.models.flow_matching import FlowMatching
from cvae_cli.models.gaussian import Gaussian
from cvae_cli.models.likelihood import Likelihood
from cvae_cli.models.logistic import DiscretisedLogistic
from cvae_cli.models.network import Network
from cvae_cli.models.prior import Prior
from cvae_cli.models.residual import ResidualNetwork
from cvae_cli.models.standard_normal import StandardNormal

NETWORKS: dict[type[Settings], Callable[..., Network]] = {
    config.ArticleNetwork: article_network,
    config.ResidualNetwork: ResidualNetwork,
    config.DenseNetwork: DenseNetwork,
}

LIKELIHOODS: dict[type[Settings], Callable[..., Likelihood]] = {
    config.BernoulliLikelihood: Bernoulli,
    config.GaussianLikelihood: Gaussian,
    config.LogisticLikelihood: DiscretisedLogistic,
}

PRIORS: dict[type[Settings], Callable[..., Prior]] = {
    config.StandardPrior: StandardNormal,
    config.FlowPrior: CouplingFlow,
    config.ScorePrior: FlowMatching,
}


def build_network(settings: config.ModelConfig) -> Network:
    """Build the network of a model.

    Raises:
        UsageError: the network does not fit the size of the pictures.
    """
    return NETWORKS[type(settings.architecture.network)](settings)


def build_likelihood(settings: config.Likelihood, *, channels: int) -> Likelihood:
    """Build a likelihood of pictures with 1 or 3 channels."""
    return LIKELIHOODS[type(settings)](settings, channels=channels)


def build_prior(settings: config.Prior, *, latent_shape: tuple[int, ...], condition: config.Condition | None) -> Prior:
    """Build a prior p(z | c), or p(z) if there is no condition."""
    return PRIORS[type(settings)](settings, latent_shape=latent_shape, condition=condition)
