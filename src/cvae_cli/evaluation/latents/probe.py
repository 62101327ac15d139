"""A linear probe: how well the class of a picture can be read from its latent."""

import warnings
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float32, Int64

_FOLDS = 5


@dataclass(frozen=True)
class Probe:
    """How well a linear classifier reads the class from latents.

    Attributes:
        accuracy: the share of pictures whose class is read correctly, each by a classifier fitted without it.
        chance: the accuracy without looking at the latent: the share of the largest class.
        pictures: how many pictures were read.
    """

    accuracy: float
    chance: float
    pictures: int


def linear_probe(values: Float32[np.ndarray, "n d"], labels: Int64[np.ndarray, " n"], *, seed: int = 0) -> Probe | None:
    """Fit logistic regressions to the standardised latents of four fifths of the pictures, and read the last fifth.

    Each fifth is read once, so all pictures count. Classes with a single picture are left out, since nothing could
    be learned of them.

    Returns:
        None if there are no two classes of two pictures.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    counts = np.bincount(labels)
    kept = counts[labels] > 1
    values, labels = values[kept], labels[kept]
    counts = counts[counts > 1]
    if len(counts) < 2:
        return None
    folds = StratifiedKFold(min(_FOLDS, int(counts.min())), shuffle=True, random_state=seed)
    reader = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a few more steps would change no digit; many classes are no regression
        read = cross_val_predict(reader, values.astype(np.float64), labels, cv=folds)
    return Probe(float((read == labels).mean()), float(counts.max() / len(labels)), len(labels))
