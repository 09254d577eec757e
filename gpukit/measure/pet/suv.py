"""Standardized uptake values of a region in a PET image: `suv`, and as a volume `suv_volume`.

How a factor comes about is in `gpukit.measure.pet.suv_factor`; docs/measure-values.md has the rules in words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Literal

from gpukit.device import array_namespace
from gpukit.dicom.modules.codes import Code
from gpukit.errors import InputError
from gpukit.findings.measurement import Detail, MaskBlock, Measurement, Quantity
from gpukit.measure.intensity.features import Bins, binned, describe, peaks, statistics_object
from gpukit.measure.intensity.measured_image import Image, MeasuredImage, open_measured
from gpukit.measure.intensity.statistics import finished, single, size_of
from gpukit.measure.pet.facts import read_facts
from gpukit.measure.pet.parameters import Overrides
from gpukit.measure.pet.suv_factor import SuvScale, kind_of, suv_scale
from gpukit.measure.region.regions import Part, Region, Slices, parts_of
from gpukit.ops._arrays import device as device_in
from gpukit.ops.statistics import Statistics, statistics
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["Overrides", "suv", "suv_volume", "suvs"]

_METABOLIC = Code("126032", "DCM", "Metabolic Volume")
_GLYCOLYSIS = Code("126033", "DCM", "Total Lesion Glycolysis")
#: Of the maximum: Boellaard R et al., EANM procedure guidelines for tumour imaging: version 2.0, 2015.
_DEFAULT = "41%"


def suv(
    image: Image,
    region: Region = None,
    *,
    weight: float | None = None,
    height: float | None = None,
    sex: str | None = None,
    dose: float | str | None = None,
    injection_time: datetime | str | None = None,
    reference_time: datetime | str | None = None,
    half_life: float | None = None,
    **options: Any,
) -> Measurement:
    """Standardized uptake values in a region of a PET image.

    Parameters
    ----------
    image : Volume, Frame, or path(s)
        Read from DICOM, so that dose, times and body size are known.
    region : Box, Polygon, Ellipse, Circle, Sphere, Segmentation, path of a mask, or None
        Where; None is everything.
    weight, height, sex, dose, injection_time, reference_time, half_life
        Instead of what the file says, in kg, cm, as ``"M"``, ``"370MBq"``, ``"10:35:00"`` and s; see `Overrides`.
    **options
        Keywords of `suvs`, such as `kind` and `metabolic`.

    Returns
    -------
    Measurement
        ``mean``, ``sd``, ``min``, ``max``, ``median`` ... in SUV; ``peak`` (highest mean of a ball of 1 ml),
        ``metabolic_volume`` in ml and ``total_lesion_glycolysis`` in g. ``details`` has every value used and where it
        came from.

    Raises
    ------
    InputError
        No SUV can be computed: names the attribute that is missing or contradicts another one.
    SelectionError
        A slice or a label must be named.
    """
    overrides = Overrides(
        weight=weight, height=height, sex=sex, dose=dose, injection_time=injection_time, reference_time=reference_time,
        half_life=half_life,
    )  # fmt: skip
    return single(suvs(image, region, overrides=overrides, **options))


def suvs(
    image: Image,
    region: Region = None,
    *,
    kind: str = "bw",
    metabolic: str | float = _DEFAULT,
    overrides: Overrides | None = None,
    slice: Slices | Literal["each"] = None,
    labels: Any = None,
    threshold: float = 0.5,
    statistics: bool = True,
    histogram: bool | Bins = False,
    bins: Bins | None = None,
    percentiles: Sequence[float] = (),
    device: str | None = None,
) -> list[Measurement]:
    """One `suv` for each label of a mask.

    Parameters
    ----------
    image, region
        As in `suv`.
    kind : str
        ``bw`` (by body weight), ``lbm`` (lean body mass of Janmahasatian), ``lbm-james-128``, ``lbm-morgan``, ``bsa``
        or ``ibw``.
    metabolic : str or float
        Voxels that count for metabolic volume and total lesion glycolysis: an SUV such as 2.5, or a share of the
        region's maximum such as ``"41%"``.
    overrides : Overrides, optional
        Weight, height, sex, dose, times and half-life instead of the file's.
    slice : int, (int, int), "all" or "each"
        Where a shape lies; with ``each`` it is measured in every slice, one measurement a slice.
    labels, threshold, statistics, histogram, bins, percentiles, device
        As in `gpukit.measure.intensity.statistics.roi`.
    """
    chosen = kind_of(kind)
    at = open_measured(image, region, slice=None if slice == "each" else slice, device=device)
    values, scale = suv_volume(at.volume, chosen, overrides=overrides)
    at = replace(at, volume=values)
    edges = histogram if isinstance(histogram, Bins) else Bins()
    if slice == "each":
        slices: list[Any] = list(range(values.grid.shape[0]))
    else:
        slices = [at.slice]
    parts = [part for k in slices for part in parts_of(values, at.region, slice=k, labels=labels, threshold=threshold)]
    return [
        _measured(part, at, scale, metabolic, statistics, edges if histogram else None, bins or edges, percentiles)
        for part in parts
    ]


def _measured(
    part: Part,
    at: MeasuredImage,
    scale: SuvScale,
    metabolic: str | float,
    full: bool,
    histogram: Bins | None,
    bins: Bins,
    percentiles: Sequence[float],
) -> Measurement:
    quantities, notes = describe(part, at.volume, full=full, bins=bins, percentages=percentiles, unit=scale.unit)
    more, remarks = peaks(part, at.volume, unit=scale.unit)
    quantities += more
    lowest, highest = (next(q.value for q in quantities if q.name == name) for name in ("min", "max"))
    metabolism, details, active = _metabolism(part, at.volume, highest, metabolic, scale)
    quantities += [*metabolism, *size_of(part, at)]
    if full:
        details.append(Detail("bins_of_entropy_and_uniformity", str(bins), "", "option or default"))
    extra: dict[str, Any] = {"suv_type": scale.kind, "statistics": statistics_object(quantities)}
    if histogram is not None:
        extra["histogram"] = binned(part, at.volume, histogram, lowest, highest, scale.unit)
    remarks = [*scale.notes, *notes, *remarks]
    measurement = finished("suv", part, at, quantities, details=(*scale.details, *details), notes=remarks, extra=extra)
    # what makes an object of its own is the metabolic volume, not the region that it was looked for in
    whole = at.volume
    block = MaskBlock(active, part.start, part.grid, whole.sources, whole.metadata, whole.acquired_slices)
    return replace(measurement, mask=block)


def suv_volume(volume: Volume, kind: str = "bw", *, overrides: Overrides | None = None) -> tuple[Volume, SuvScale]:
    """Return a PET volume in SUV, on its device, and what it was scaled with.

    Parameters
    ----------
    volume : Volume
        Read from DICOM; 3D, or 4D with one factor a slice and phase.
    kind : str
        As in `suvs`.
    overrides : Overrides, optional
        As in `suvs`.

    Returns
    -------
    Volume
        float32; padding has become NaN.
    SuvScale
        Factors, details and notes.

    Raises
    ------
    InputError
        No SUV can be computed; or the slices were interpolated and have different factors.
    """
    scale = suv_scale(read_facts(volume), kind, overrides)
    xp = array_namespace(volume.array)
    values = xp.astype(volume.array, xp.float32)
    if volume.padding is not None:
        low, high = volume.padding
        excluded = (values >= low) & (values <= high)
        values = xp.where(excluded, xp.full(values.shape, math.nan, dtype=xp.float32, device=device_in(values)), values)
    if len(set(scale.factors)) == 1:
        scaled = values * scale.factors[0]
    else:
        scaled = values * xp.asarray(_per_slice(volume, scale), dtype=xp.float32, device=device_in(values))
    unit = ValueUnit.SUVBW if scale.kind == "bw" else ValueUnit.GML if scale.kind != "bsa" else ValueUnit.CM2ML
    return replace(volume, array=xp.astype(scaled, xp.float32), unit=unit, padding=None), scale


def _per_slice(volume: Volume, scale: SuvScale) -> Any:
    """Nested list of the factors in the shape ``[k, 1, 1]`` or ``[t, k, 1, 1]``."""
    nk = volume.grid.shape[0]
    phases = volume.shape[0] if volume.axes.startswith("t") else 1
    table = {(s.phase, s.index): factor for s, factor in zip(volume.sources, scale.factors, strict=True)}
    if len(volume.sources) == 1 == nk * phases:
        table = {(0, 0): scale.factors[0]}
    if set(table) != {(t, k) for t in range(phases) for k in range(nk)}:
        raise InputError(
            "the slices were interpolated and have different factors to SUV", attribute="RescaleSlope",
            fix="measure a shape in single slices, without --fill-gaps (fill_gaps=False)",
        )  # fmt: skip
    rows = [[[[table[t, k]]] for k in range(nk)] for t in range(phases)]
    return rows if volume.axes.startswith("t") else rows[0]


def _metabolism(
    part: Part, values: Volume, highest: float, metabolic: str | float, scale: SuvScale
) -> tuple[list[Quantity], list[Detail], Any]:
    """Return the volume of the voxels from a threshold on, that volume times their mean, and the mask of the voxels."""
    level, origin = _level(metabolic, highest)
    xp = array_namespace(part.values)
    inside = part.values >= level
    if part.mask is not None:
        inside = inside & xp.astype(part.mask, xp.bool)
    summary = statistics(part.values, inside, padding=values.padding)
    assert isinstance(summary, Statistics)
    details = [Detail("metabolic_threshold", level, scale.unit, origin)]
    if not values.geometry.depth:  # such as one slice of unknown thickness: its voxels have none
        return [Quantity("metabolic_mean", summary.mean, scale.unit)], details, inside
    volume = summary.n * part.grid.voxel_volume / 1000
    mass = scale.unit.partition("}")[2].removesuffix("/ml")  # g, or cm2
    quantities = [
        Quantity("metabolic_volume", volume, "ml", _METABOLIC),
        Quantity("total_lesion_glycolysis", summary.mean * volume if summary.n else 0.0, mass, _GLYCOLYSIS),
        Quantity("metabolic_mean", summary.mean, scale.unit),
    ]
    return quantities, details, inside


def _level(metabolic: str | float, highest: float) -> tuple[float, str]:
    text = str(metabolic).strip()
    match = re.fullmatch(r"(\d+\.?\d*|\.\d+)\s*(%?)", text)
    if match is None or float(match[1]) <= 0 or (match[2] and float(match[1]) > 100):
        raise InputError(
            f"{text!r} is not a threshold",
            attribute="threshold",
            fix="write an SUV such as 2.5, or a share such as 41%",
        )
    if match[2]:
        return float(match[1]) / 100 * highest, f"{match[1]} % of the maximum"
    return float(match[1]), "fixed"
