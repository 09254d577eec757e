"""Numbers that describe the values of a part: moments, percentiles, texture of the histogram, peak."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace, move
from gpukit.dicom.modules.codes import Code
from gpukit.errors import InputError
from gpukit.findings.measurement import Detail, Quantity
from gpukit.measure.region.regions import Part
from gpukit.ops.ball import ball_means
from gpukit.ops.distribution import distribution
from gpukit.ops.histogram import histogram
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = [
    "PEAK_RADIUS",
    "UCUM",
    "Bins",
    "binned",
    "describe",
    "peaks",
    "scale_details",
    "statistics_object",
    "texture",
    "voxels_in",
]

#: Radius in mm of a ball of 1 ml.
PEAK_RADIUS = (3 * 1000 / (4 * math.pi)) ** (1 / 3)

#: Unit of a volume's values -> UCUM.
UCUM = {
    ValueUnit.HU: "[hnsf'U]",
    ValueUnit.BQML: "Bq/ml",
    ValueUnit.SUVBW: "{SUVbw}g/ml",
    ValueUnit.GML: "g/ml",
    ValueUnit.CNTS: "{counts}",
    ValueUnit.CM2ML: "cm2/ml",
    ValueUnit.PROPCPS: "{propcps}",
    ValueUnit.GY: "Gy",
}
_PERCENTAGES = (5.0, 10.0, 25.0, 50.0, 75.0, 90.0, 95.0)
_MOST_BINS = 1_000_000
#: Concepts: SNOMED CT and DCM where they have the word, else the IBSI's reference manual.
_CODES = {
    "mean": Code("373098007", "SCT", "Mean"),
    "sd": Code("386136009", "SCT", "Standard Deviation"),
    "min": Code("255605001", "SCT", "Minimum"),
    "max": Code("56851009", "SCT", "Maximum"),
    "median": Code("373099004", "SCT", "Median"),
    "p10": Code("QG58", "IBSI", "10th intensity percentile"),
    "p90": Code("8DWT", "IBSI", "90th intensity percentile"),
    "skewness": Code("KE2A", "IBSI", "Intensity skewness"),
    "kurtosis": Code("IPH6", "IBSI", "(Excess) intensity kurtosis"),
    "energy": Code("N8CA", "IBSI", "Intensity energy"),
    "rms": Code("5ZWQ", "IBSI", "Root mean square intensity"),
    "entropy": Code("TLU2", "IBSI", "Intensity Histogram Entropy"),
    "uniformity": Code("BJ5W", "IBSI", "Intensity Histogram Uniformity"),
    "peak": Code("126031", "DCM", "Peak Value Within ROI"),
    "peak_at_max": Code("VJGA", "IBSI", "Local intensity peak"),
}


@dataclass(frozen=True)
class Bins:
    """How values are gathered into bins.

    Parameters
    ----------
    count : int or None
        As many bins of equal width between the lowest and the highest value (the IBSI's fixed bin number).
    width : float or None
        Bins of this width from the lowest value, or from `low` (the IBSI's fixed bin size).
    low, high : float or None
        Ends of the range instead of the lowest and highest value; what lies outside is not counted.
    """

    count: int | None = 32
    width: float | None = None
    low: float | None = None
    high: float | None = None

    def edges(self, lowest: float, highest: float) -> NDArray[np.float64]:
        """Return edges for values from `lowest` to `highest`.

        Raises
        ------
        InputError
            There would be no bin, or more than any use has.
        """
        low = lowest if self.low is None else self.low
        high = highest if self.high is None else self.high
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise InputError(f"a histogram from {low:g} to {high:g} has no bins", attribute="range")
        if self.width is not None:
            if not (math.isfinite(self.width) and self.width > 0):
                raise InputError(f"a bin of width {self.width:g} holds nothing", attribute="bin_width")
            count = (high - low) / self.width
            # An upper end that the user gave closes the last bin; a highest value needs a bin of its own above an edge.
            number = max(1, math.ceil(count - 1e-9)) if self.high is not None else math.floor(count + 1e-9) + 1
            top = low + number * self.width
        else:
            number = int(self.count or 0)
            top = high if high > low else low + 1.0
        if not 1 <= number <= _MOST_BINS:
            raise InputError(f"{number} bins cannot be counted", attribute="bins", fix="choose wider ones")
        return np.asarray(np.linspace(low, top, number + 1))

    def __str__(self) -> str:
        """In words."""
        kind = f"fixed bin number {self.count}" if self.width is None else f"fixed bin size {self.width:g}"
        ends = [
            f"from {self.low:g}" if self.low is not None else "",
            f"to {self.high:g}" if self.high is not None else "",
        ]
        return " ".join([kind, *(end for end in ends if end)])


def describe(
    part: Part,
    volume: Volume,
    *,
    full: bool = True,
    bins: Bins | None = None,
    percentages: Sequence[float] = (),
    unit: str | None = None,
) -> tuple[list[Quantity], list[str]]:
    """Return quantities of a part's values, and what a user must know.

    Parameters
    ----------
    part : Part
        From `gpukit.measure.region.regions.parts_of`.
    volume : Volume
        That the part was taken from.
    full : bool
        All numbers; without it mean, deviations, extremes, median and the number of voxels.
    bins : Bins, optional
        For entropy and uniformity; 32 of equal width unless given.
    percentages : sequence of float
        Percentiles beside the usual ones.
    unit : str, optional
        UCUM unit of the values; that of the volume unless given.

    Raises
    ------
    InputError
        No voxel of the part is a measurement.
    """
    usual = _PERCENTAGES if full else (50.0,)
    q_all = tuple(sorted({*usual, *map(float, percentages)}))
    summary = distribution(part.values, q_all, part.mask, padding=volume.padding)
    s = summary.statistics
    if s.n == 0:
        raise InputError("every voxel of the region is padding: there is nothing to measure", attribute="region")
    values = dict(zip(summary.q, summary.percentiles, strict=True))
    u = unit or UCUM.get(ValueUnit(volume.unit), "1")
    squared = u if u == "1" else f"({u})2" if "/" in u else f"{u}2"
    rows: list[tuple[str, float, str]] = [
        ("mean", s.mean, u), ("sd", s.sd, u), ("sd_sample", s.sd_sample, u), ("min", s.min, u), ("max", s.max, u),
        ("median", values[50.0], u),
    ]  # fmt: skip
    rows += [(_name(q), value, u) for q, value in values.items() if q != 50.0]
    rows.append(("n", s.n, "{voxels}"))
    if full:
        rows += [
            ("variance", s.sd**2, squared), ("sum", s.sum, u), ("range", s.max - s.min, u),
            ("iqr", values[75.0] - values[25.0], u), ("skewness", s.skewness, "1"), ("kurtosis", s.kurtosis, "1"),
            ("energy", s.energy, squared), ("rms", s.rms, u),
        ]  # fmt: skip
        entropy, uniformity = texture(part, volume, bins or Bins(), s.min, s.max)
        rows += [("entropy", entropy, "bit"), ("uniformity", uniformity, "1")]
    notes = []
    inside = voxels_in(part)
    if s.n < inside:
        notes.append(f"{inside - s.n} of {inside} voxels are padding or no number and took no part")
    return [Quantity(name, value, of, _CODES.get(name)) for name, value, of in rows], notes


def texture(part: Part, volume: Volume, bins: Bins, lowest: float, highest: float) -> tuple[float, float]:
    """Entropy in bits (-sum p log2 p) and uniformity (sum p^2) of the binned values; IBSI TLU2 and BJ5W."""
    counts = _counts(part, volume, bins.edges(lowest, highest))
    total = int(counts.sum())
    if total == 0:
        return math.nan, math.nan
    share = counts[counts > 0] / total
    return float(-(share * np.log2(share)).sum()) + 0.0, float((share**2).sum())


def binned(part: Part, volume: Volume, bins: Bins, lowest: float, highest: float, unit: str) -> dict[str, Any]:
    """Return a histogram as plain data: edges, counts, unit and how the bins were chosen."""
    edges = bins.edges(lowest, highest)
    counts = _counts(part, volume, edges)
    return {"edges": edges.tolist(), "counts": counts.tolist(), "unit": unit, "bins": str(bins)}


def peaks(part: Part, volume: Volume, *, unit: str) -> tuple[list[Quantity], list[str]]:
    """Return the highest mean of a ball of 1 ml.

    ``peak`` is the highest mean of all balls around a voxel of the part (IBSI 0F91, PERCIST's SUVpeak), ``peak_at_max``
    that of the balls around its highest voxels (IBSI VJGA). The balls may reach outside the part, as both define.

    The ball holds the voxels whose centres lie within 6.2035 mm. One slice alone has none.
    """
    if part.grid.shape[0] == 1:
        return [], ["a peak (ball of 1 ml) needs the neighbouring slices"]
    margin = np.ceil(PEAK_RADIUS * np.linalg.norm(np.linalg.inv(part.grid.affine[:3, :3]), axis=1)).astype(int)[::-1]
    shape = np.array([int(n) for n in part.values.shape])
    low = np.maximum(0, np.array(part.start) - margin)
    high = np.minimum(part.grid.shape, np.array(part.start) + shape + margin)
    block = volume.array[low[0] : high[0], low[1] : high[1], low[2] : high[2]]
    inner = np.array(part.start) - low
    window = [(int(a), int(a + n)) for a, n in zip(inner, shape, strict=True)]
    means = ball_means(block, part.grid.affine, PEAK_RADIUS, padding=volume.padding, window=window)
    xp = array_namespace(means)
    valid = ~xp.isnan(means)
    values = xp.astype(part.values, means.dtype)
    valid = valid & ~xp.isnan(values)
    if volume.padding is not None:
        valid = valid & ~((values >= volume.padding[0]) & (values <= volume.padding[1]))
    if part.mask is not None:
        valid = valid & xp.astype(part.mask, xp.bool)
    if not bool(xp.any(valid)):
        return [], []
    lowest = xp.full(means.shape, -math.inf, dtype=means.dtype, device=_device(means))
    highest = float(xp.max(xp.where(valid, values, lowest)))
    at_max = float(xp.max(xp.where(valid & (values == highest), means, lowest)))
    peak = float(xp.max(xp.where(valid, means, lowest)))
    return [
        Quantity("peak", peak, unit, _CODES["peak"]),
        Quantity("peak_at_max", at_max, unit, _CODES["peak_at_max"]),
    ], []


def statistics_object(quantities: Sequence[Quantity]) -> Mapping[str, float]:
    """Return quantities by name, for programs that want one number."""
    return {quantity.name: quantity.value for quantity in quantities}


def _device(array: Any) -> Any:
    from gpukit.ops._arrays import device

    return device(array)


def _counts(part: Part, volume: Volume, edges: NDArray[np.float64]) -> NDArray[np.int64]:
    counted = histogram(part.values, edges.tolist(), part.mask, padding=volume.padding)
    return np.asarray(move(counted, "cpu"))


def voxels_in(part: Part) -> int:
    """Return how many voxels a part has, padding included."""
    if part.mask is None:
        return math.prod(int(n) for n in part.values.shape)
    xp = array_namespace(part.mask)
    return int(xp.sum(xp.astype(part.mask != 0, xp.int64)))


def _name(percentage: float) -> str:
    return f"p{percentage:g}".replace(".", "_")


def scale_details(volume: Volume) -> tuple[Detail, ...]:
    """Return how the values came about, where that is not what the image's own window refers to."""
    scale = volume.value_scale
    if scale is None or scale.source in ("", "RescaleSlope", "DoseGridScaling"):
        return ()
    return (
        Detail("value_slope", scale.slope, "", scale.source),
        Detail("value_intercept", scale.intercept, "", scale.source),
        Detail("displayed_slope", scale.displayed_slope, "", "RescaleSlope"),
        Detail("displayed_intercept", scale.displayed_intercept, "", "RescaleIntercept"),
    )
