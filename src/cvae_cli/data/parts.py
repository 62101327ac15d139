"""Choose pictures for a part of a data set, such as a test part, so that no class is left without pictures."""

import numpy as np
from jaxtyping import Bool, Int64

Classes = Int64[np.ndarray, " n"]
"""The class of each picture."""
Positions = Int64[np.ndarray, " k"]
"""Positions of the chosen pictures."""

_SMALLEST_TESTED = 3  # pictures; a smaller class need not give one to the test part


def spread(classes: Classes, n: int) -> Positions:
    """Choose `n` pictures, of each class in proportion, but at least one of each class if `n` allows it.

    Of a class, the first pictures are chosen.

    Returns:
        the positions in ascending order.
    """
    return np.sort(_by_turns(classes, 1)[:n])


def first_of_each(classes: Classes, n: int) -> Positions:
    """Choose the first `n` pictures if each class is among them, as in data in random order; otherwise `spread`."""
    has_each = len(np.unique(classes[:n])) == len(np.unique(classes))
    return np.arange(n) if has_each else spread(classes, n)


def hold_out_tenth(classes: Classes) -> Positions:
    """Choose a tenth of the pictures: of each class in proportion, but at least one of a class of three or more.

    A class keeps at least one picture. Of a class, the first pictures are chosen.
    """
    _, sizes = np.unique(classes, return_counts=True)
    n = max(1, round(len(classes) / 10), int((sizes >= _SMALLEST_TESTED).sum()))
    order = _by_turns(classes, _SMALLEST_TESTED)
    spare = order[~_last_of_class(classes)[order]]
    return np.sort((spare if len(spare) else order)[:n])


def spare_first(classes: Classes) -> Positions:
    """Return the positions of all pictures in order, but the last one of each class after all others."""
    return np.argsort(_last_of_class(classes), kind="stable")


def _by_turns(classes: Classes, at_least: int) -> Positions:
    """Order pictures so that the first `n` of them have each class in proportion, for any `n`.

    Args:
        at_least: the size of a class from which on its first picture comes before the second ones of others.
    """
    _, index, sizes = np.unique(classes, return_inverse=True, return_counts=True)
    grouped = np.argsort(index, kind="stable")
    rank = np.empty(len(classes), np.int64)  # of each picture in its class
    rank[grouped] = np.arange(len(classes)) - (np.cumsum(sizes) - sizes)[index[grouped]]
    size = sizes[index]
    is_later = (rank > 0) | (size < at_least)
    return np.lexsort((np.arange(len(classes)), (rank + 0.5) / size, is_later))


def _last_of_class(classes: Classes) -> Bool[np.ndarray, " n"]:
    """Return for each picture whether it is the last one of its class."""
    is_last = np.zeros(len(classes), bool)
    _, from_end = np.unique(classes[::-1], return_index=True)
    is_last[len(classes) - 1 - from_end] = True
    return is_last
