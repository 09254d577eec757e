"""Numbers that describe the values of a volume, or of parts of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import InputError
from gpukit.ops._arrays import Padding, check_padding
from gpukit.ops._moments import Moments
from gpukit.ops._selection import check_like, real_values, selected

__all__ = ["Statistics", "check_labels", "check_percentages", "percentiles", "statistics"]


@dataclass(frozen=True, slots=True)
class Statistics:
    """First-order statistics of a set of voxels, as host numbers in the data's unit.

    Every number but `n`, `sum` and `energy` is NaN where the set is empty.

    Parameters
    ----------
    n : int
        How many voxels.
    mean, min, max, sum : float
        Of their values.
    sd : float
        Population standard deviation (division by n), as the IBSI defines it.
    sd_sample : float
        Sample standard deviation (division by n - 1); NaN for fewer than two voxels.
    skewness : float
        Third standardised moment, without correction for bias; 0 where all values are equal.
    kurtosis : float
        *Excess* kurtosis (a normal distribution has 0), without correction for bias; 0 where all values are equal.
    energy : float
        Sum of the squared values.
    rms : float
        Root of the mean of the squared values.
    label : int or None
        The label that the voxels have, None where a mask was asked for.

    Notes
    -----
    Definitions: Image Biomarker Standardisation Initiative, reference manual, chapter 3.3.
    """

    n: int
    mean: float
    sd: float
    sd_sample: float
    min: float
    max: float
    sum: float
    skewness: float
    kurtosis: float
    energy: float
    rms: float
    label: int | None = None

    @classmethod
    def from_moments(cls, moments: Moments, label: int | None = None) -> Statistics:
        """Return the statistics that follow from the moments of a set."""
        n, nan = moments.n, math.nan
        if n == 0:
            return cls(0, nan, nan, nan, nan, nan, 0.0, nan, nan, 0.0, nan, label)
        variance = max(moments.m2, 0.0) / n
        flat = variance == 0.0
        return cls(
            n=n,
            mean=moments.mean,
            sd=math.sqrt(variance),
            sd_sample=math.sqrt(max(moments.m2, 0.0) / (n - 1)) if n > 1 else nan,
            min=moments.low,
            max=moments.high,
            sum=moments.total,
            skewness=0.0 if flat else moments.m3 / n / variance**1.5,
            kurtosis=0.0 if flat else moments.m4 / n / variance**2 - 3.0,
            energy=moments.energy,
            rms=math.sqrt(max(moments.energy, 0.0) / n),
            label=label,
        )


def check_labels(mask: Any | None, labels: Sequence[int] | None) -> tuple[int, ...] | None:
    """Return the labels as integers; they need a label map to be looked up in.

    Raises
    ------
    InputError
        There is no label map, or a label is not a whole number of 64 bits.
    """
    if labels is None:
        return None
    if mask is None:
        raise InputError("labels were given but no label map", attribute="mask")
    try:
        numbers = tuple(int(label) for label in labels)
    except (TypeError, ValueError, OverflowError) as error:
        raise InputError("a label must be a whole number", attribute="labels") from error
    if not all(-(2**63) <= label < 2**63 for label in numbers):
        raise InputError("a label must lie between -2^63 and 2^63 - 1", attribute="labels")
    return numbers


@operation(tolerance=1e-10)
def statistics(
    data: Any,
    mask: Any | None = None,
    *,
    labels: Sequence[int] | None = None,
    padding: Sequence[float] | None = None,
) -> Statistics | tuple[Statistics, ...]:
    """Return statistics of the voxels inside a mask, or of those of each label.

    Parameters
    ----------
    data : array of real numbers, any shape
        The values; its type decides the backend.
    mask : array of the same shape on the same device, optional
        Everything that is not zero is inside; a label map where `labels` is given. All voxels unless given.
    labels : sequence of int, optional
        The labels to describe, in this order; 0 is background and may be asked for too.
    padding : (float, float), optional
        Voxels with values in this closed interval are not measurements and take no part; NaN never takes part.

    Returns
    -------
    Statistics or tuple of Statistics
        Host numbers: one `Statistics`, or with `labels` one for each of them.

    Raises
    ------
    InputError
        The mask has another shape or device, the data are not real, or the padding is not an interval.

    Notes
    -----
    Arithmetic is in float64, in two passes: the mean first, then powers of the differences from it. On a device without
    float64 (MPS) parts are added up in float32 and merged on the host in float64.
    """
    xp = array_namespace(data)
    chosen = check_labels(mask, labels)
    interval = check_padding(padding)
    if mask is not None:
        check_like(data, mask)
    values = real_values(xp, data)
    if chosen is None:
        return Statistics.from_moments(_moments(xp, values, selected(xp, values, mask, interval)))
    return tuple(_of_label(xp, values, mask, label, interval) for label in chosen)


def _of_label(xp: Any, values: Any, mask: Any, label: int, padding: Padding) -> Statistics:
    inside = xp.astype(mask, xp.int64, copy=False) == label
    return Statistics.from_moments(_moments(xp, values, selected(xp, values, inside, padding)), label)


def _moments(xp: Any, values: Any, keep: Any | None) -> Moments:
    """Return two passes over the kept values."""
    zero = xp.zeros_like(values)
    if keep is None:
        keep = xp.ones_like(values, dtype=xp.bool)
    n = int(xp.sum(xp.astype(keep, xp.int64)))
    if n == 0:
        return Moments()
    selection = xp.where(keep, values, zero)
    total = float(xp.sum(selection))
    mean = total / n
    off = xp.where(keep, values - mean, zero)
    mean += (remainder := float(xp.sum(off)) / n)  # what rounding left over in the first pass
    off = xp.where(keep, off - remainder, zero)
    square = off * off
    return Moments(
        n=n,
        mean=mean,
        m2=float(xp.sum(square)),
        m3=float(xp.sum(square * off)),
        m4=float(xp.sum(square * square)),
        total=total,
        energy=float(xp.sum(selection * selection)),
        low=float(xp.min(xp.where(keep, values, zero + math.inf))),
        high=float(xp.max(xp.where(keep, values, zero - math.inf))),
    )


def check_percentages(q: Sequence[float]) -> tuple[float, ...]:
    """Percentages as floats between 0 and 100."""
    percentages = tuple(float(p) for p in q)
    if not all(0.0 <= p <= 100.0 for p in percentages):
        raise InputError(f"percentages lie between 0 and 100, not {percentages}", attribute="q")
    return percentages


@operation(tolerance=1e-12)
def percentiles(
    data: Any,
    q: Sequence[float],
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> tuple[float, ...]:
    """Return values below which the given percentages of the voxels lie; 50 is the median.

    Parameters
    ----------
    data : array of real numbers, any shape
        The values; its type decides the backend.
    q : sequence of float
        Percentages, 0 to 100.
    mask, padding
        As in `statistics`.

    Returns
    -------
    tuple of float
        One value a percentage, interpolated linearly between neighbouring order statistics (Hyndman and Fan's
        definition 7); NaN where no voxel takes part.

    Raises
    ------
    InputError
        As `statistics`, or a percentage out of range.
    """
    xp = array_namespace(data)
    percentages = check_percentages(q)
    if mask is not None:
        check_like(data, mask)
    values = real_values(xp, data)
    keep = selected(xp, values, mask, check_padding(padding))
    flat = xp.reshape(values, (-1,)) if keep is None else values[keep]
    n = int(flat.shape[0])
    if n == 0:
        return tuple(math.nan for _ in percentages)
    ordered = xp.sort(flat)
    result = []
    for p in percentages:
        at = (n - 1) * p / 100.0
        low = min(int(at), n - 1)
        a, b = float(ordered[low]), float(ordered[min(low + 1, n - 1)])
        result.append(a if a == b else a + (at - low) * (b - a))
    return tuple(result)
