"""The models: a conditional variational autoencoder, its networks, likelihoods and priors."""

from cvae_cli.models.cvae import CVAE, Bound

__all__ = ["CVAE", "Bound"]
