"""Several models, one answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import InputError

__all__ = ["ENSEMBLES", "check_weights", "combine_probabilities"]

#: How probabilities of several models become one.
ENSEMBLES = ("average", "weighted", "vote", "max")


def check_weights(weights: Sequence[float] | None, count: int) -> NDArray[np.float64]:
    """Weights of `count` models with the sum one; equal ones where none are given."""
    if weights is None:
        return np.full(count, 1.0 / count)
    given = np.asarray(list(weights), dtype=np.float64)
    if given.shape != (count,) or not np.isfinite(given).all() or (given < 0).any() or given.sum() <= 0:
        raise InputError(f"the weights must be {count} numbers of at least 0 that are not all 0", attribute="weights")
    return np.asarray(given / given.sum())


def combine_probabilities(
    values: NDArray[np.float64],
    how: str,
    weights: Sequence[float] | None = None,
    *,
    exclusive: bool = True,
    thresholds: Sequence[float] | None = None,
) -> NDArray[np.float64]:
    """One set of probabilities from those of several models.

    Parameters
    ----------
    values : array, ``[models, answers, classes]``
        Probabilities.
    how : str
        One of `ENSEMBLES`; ``vote`` gives the shares of the models that hold for a class.
    weights : sequence of float, optional
        For ``weighted``; for ``vote`` the weight of each model's vote.
    exclusive : bool
        Whether exactly one class is right: then a model votes for its most probable class (the first of equal ones),
        and the result of ``max`` is scaled to the sum one.
    thresholds : sequence of float, optional
        One a model: what a class on its own must reach for the model's vote; 0.5 by default.

    Returns
    -------
    array, ``[answers, classes]``

    Raises
    ------
    InputError
        There is no such way, or the weights do not fit.
    """
    if how not in ENSEMBLES:
        raise InputError(f"there is no ensemble {how!r}", attribute="ensemble", fix=f"use {', '.join(ENSEMBLES)}")
    shares = check_weights(weights, values.shape[0])
    if how in ("average", "weighted"):
        return np.asarray(np.tensordot(shares, values, axes=1))
    if how == "vote":
        if exclusive:
            votes = np.zeros_like(values)
            np.put_along_axis(votes, values.argmax(axis=2)[..., None], 1.0, axis=2)
        else:
            limits = np.asarray(thresholds if thresholds is not None else [0.5] * len(values))
            votes = (values >= limits[:, None, None]).astype(np.float64)
        return np.asarray(np.tensordot(shares, votes, axes=1))
    greatest = values.max(axis=0)
    return np.asarray(greatest / greatest.sum(axis=1, keepdims=True) if exclusive else greatest)
