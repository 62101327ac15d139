"""Which networks, likelihoods and priors there are: settings in, modules out."""

from cvae_cli.config import model as config
from cvae_cli.models.article import FashionNetwork, PhotoNetwork
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


def build_network(settings: config.ModelConfig) -> Network:
    """The network that a configuration describes.

    Raises:
        UsageError: the network does not fit the size of the pictures.
    """
    match settings.architecture.network:
        case config.ArticleNetwork():
            return FashionNetwork(settings) if settings.image.size == 28 else PhotoNetwork(settings)
        case config.ResidualNetwork():
            return ResidualNetwork(settings)
        case config.DenseNetwork():
            return DenseNetwork(settings)


def build_likelihood(settings: config.Likelihood, *, channels: int) -> Likelihood:
    match settings:
        case config.BernoulliLikelihood():
            return Bernoulli()
        case config.GaussianLikelihood():
            return Gaussian()
        case config.LogisticLikelihood():
            return DiscretisedLogistic(channels)


def build_prior(settings: config.Prior, *, latent_shape: tuple[int, ...], condition: config.Condition | None) -> Prior:
    """The prior that settings describe; without a condition it is p(z)."""
    match settings:
        case config.StandardPrior():
            return StandardNormal()
        case config.FlowPrior():
            return CouplingFlow(settings, latent_shape=latent_shape, condition=condition)
        case config.ScorePrior():
            return FlowMatching(settings, latent_shape=latent_shape, condition=condition)
