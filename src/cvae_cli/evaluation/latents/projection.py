"""Latents of many numbers as points in a plane."""

import warnings
from typing import Literal

import numpy as np
from jaxtyping import Float32, Float64

Method = Literal["tsne", "pca"]

METHODS: tuple[Method, ...] = ("tsne", "pca")
"""`tsne` keeps neighbours together (van der Maaten & Hinton 2008); `pca` shows the two directions of most variance."""

MIN_PICTURES = 4
"""Fewer have no neighbours to be kept together."""

_PERPLEXITY = 30.0  # about how many neighbours a point has; scikit-learn's default


def project(values: Float32[np.ndarray, "n d"], method: Method, *, seed: int) -> Float64[np.ndarray, "n 2"]:
    """Return a point for each latent. Latents that are all equal become one point.

    Args:
        values: at least `MIN_PICTURES` latents.
        seed: of the random numbers of t-SNE, which begins with the principal components.
    """
    if not np.ptp(values, axis=0).any():
        return np.zeros((len(values), 2))
    principal = _principal_components(values)
    if method == "pca":
        return principal
    from sklearn.manifold import TSNE

    start = principal / principal[:, 0].std() * 1e-4  # as scikit-learn begins, for latents of one number too
    perplexity = min(_PERPLEXITY, (len(values) - 1) / 3)
    fitted = TSNE(perplexity=perplexity, init=start, learning_rate="auto", random_state=seed).fit_transform(values)
    return np.asarray(fitted, np.float64)


def _principal_components(values: Float32[np.ndarray, "n d"]) -> Float64[np.ndarray, "n 2"]:
    """Return the coordinates along the two directions of most variance; the second is 0 for latents of one number."""
    from sklearn.decomposition import PCA

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        found = PCA(min(2, values.shape[1]), svd_solver="full").fit_transform(values.astype(np.float64))
    return np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
