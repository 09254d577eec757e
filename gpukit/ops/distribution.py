"""Statistics and percentiles of a volume, or of a region, from one look at its voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpukit.dispatch import operation
from gpukit.ops.statistics import Statistics, check_percentages, percentiles, statistics

__all__ = ["Distribution", "distribution"]


@dataclass(frozen=True, slots=True)
class Distribution:
    """Statistics and percentiles of a set of values, as host numbers in the data's unit.

    Parameters
    ----------
    statistics : Statistics
        Number, mean, deviations, extremes and so on.
    q : tuple of float
        The percentages that were asked for.
    percentiles : tuple of float
        Their values, in the same order; NaN of an empty set.
    """

    statistics: Statistics
    q: tuple[float, ...]
    percentiles: tuple[float, ...]


@operation(tolerance=1e-10)
def distribution(
    data: Any,
    q: Sequence[float] = (50.0,),
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> Distribution:
    """Return statistics and exact percentiles of the voxels inside a mask.

    Parameters
    ----------
    data : array of real numbers, any shape
        The values; its type decides the backend.
    q : sequence of float
        Percentages, 0 to 100; the median (50) unless given.
    mask, padding
        As in `gpukit.ops.statistics.statistics`.

    Returns
    -------
    Distribution
        What `gpukit.ops.statistics.statistics` and `gpukit.ops.statistics.percentiles` say.

    Raises
    ------
    InputError
        As those two.

    Notes
    -----
    On the CPU, voxels of 8 and 16 bits are read once: from how often each value occurs all numbers follow, the
    percentiles, the sums and the variance without any rounding on the way.
    """
    percentages = check_percentages(q)
    return Distribution(
        statistics(data, mask, padding=padding),
        percentages,
        tuple(percentiles(data, percentages, mask, padding=padding)),
    )
