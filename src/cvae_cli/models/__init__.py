"""Models: the conditional variational autoencoder, its networks, likelihoods and priors."""
