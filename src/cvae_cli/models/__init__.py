"""The models: a conditional variational autoencoder, its networks, likelihoods and priors."""
