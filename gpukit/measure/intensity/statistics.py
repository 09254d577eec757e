"""Values of a region: of any image (`roi`), in Hounsfield units (`hu`), and at one point (`pixel`)."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.reader.headers import Header
from gpukit.errors import InputError, MissingSlicesError, SelectionError
from gpukit.findings.measurement import Calibration, Detail, MaskBlock, Measurement, Quantity
from gpukit.measure.intensity.features import (
    UCUM,
    Bins,
    binned,
    describe,
    peaks,
    scale_details,
    statistics_object,
    voxels_in,
)
from gpukit.measure.intensity.measured_image import Image, MeasuredImage, alone_note, open_measured
from gpukit.measure.region.regions import Part, Region, Slices, parts_of
from gpukit.measure.spatial.series_space import slice_frame
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["finished", "hu", "nearest_pixel", "pixel", "roi", "rois", "single", "size_of"]

_AREA = Code("42798000", "SCT", "Area")
#: Segmentation Storage and Label Map Segmentation Storage.
_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")
_VOLUME = Code("118565006", "SCT", "Volume")


def roi(
    image: Image,
    region: Region = None,
    *,
    slice: Slices = None,
    labels: Any = None,
    threshold: float = 0.5,
    statistics: bool = True,
    histogram: bool | Bins = False,
    bins: Bins | None = None,
    percentiles: Sequence[float] = (),
    device: str | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Return statistics of the values in a region.

    Parameters
    ----------
    image : Volume, Frame, or path(s)
        What to measure on; 3D and grey.
    region : Box, Polygon, Ellipse, Circle, Sphere, Segmentation, path of a mask, or None
        Where; None is everything. A pixel is inside when its centre is.
    slice : int, (int, int) or "all", optional
        Which slice of a volume a shape lies in, k from 0.
    labels : int or str, optional
        Which label of a mask; needed where it has several (`rois` measures each).
    threshold : float
        For fractional masks: the least fraction that is inside.
    statistics : bool
        All numbers (docs/measure-values.md has their formulas); without it mean, deviations, extremes and median.
    histogram : bool or Bins
        Add a histogram, of 32 bins of equal width unless `Bins` says otherwise.
    bins : Bins, optional
        For entropy and uniformity; those of the histogram unless given.
    percentiles : sequence of float
        Percentages beside 5, 10, 25, 50, 75, 90 and 95.
    device : str, optional
        For an image that is read here.
    calibration : Calibration, optional
        Size of a pixel by hand, for a shape in a frame.

    Returns
    -------
    Measurement
        ``mean``, ``sd`` (division by n), ``sd_sample`` (by n - 1), ``min``, ``max``, ``median``, ``n`` and so on in the
        unit of the image, as attributes; ``extra["statistics"]`` has them as one mapping.

    Raises
    ------
    InputError
        The region lies outside the image or holds no measurement.
    SelectionError
        A slice or a label must be named.
    """
    return single(
        rois(
            image, region, slice=slice, labels=labels, threshold=threshold, statistics=statistics, histogram=histogram,
            bins=bins, percentiles=percentiles, device=device, calibration=calibration,
        )
    )  # fmt: skip


def rois(
    image: Image,
    region: Region = None,
    *,
    kind: str = "roi",
    slice: Slices = None,
    labels: Any = None,
    threshold: float = 0.5,
    statistics: bool = True,
    histogram: bool | Bins = False,
    bins: Bins | None = None,
    percentiles: Sequence[float] = (),
    device: str | None = None,
    calibration: Calibration | None = None,
) -> list[Measurement]:
    """One `roi` for each label of a mask; parameters as there. With `kind` ``hu`` only where values are HU."""
    at = open_measured(image, region, slice=slice, device=device, calibration=calibration)
    volume = at.volume
    if kind == "hu":
        _check_hu(volume)
    unit = UCUM.get(ValueUnit(volume.unit), "1")
    chosen = histogram if isinstance(histogram, Bins) else Bins()
    measurements = []
    for part in parts_of(volume, at.region, slice=at.slice, labels=labels, threshold=threshold):
        quantities, notes = describe(part, volume, full=statistics, bins=bins or chosen, percentages=percentiles)
        if statistics:
            # Of everything a peak has no use, and would take longer than all else together.
            whole = at.region is None or volume.grid.shape[0] == 1
            more, peak_notes = ([], []) if whole else peaks(part, volume, unit=unit)
            quantities += more
            notes += peak_notes
        quantities += size_of(part, at)
        extra: dict[str, Any] = {"statistics": statistics_object(quantities)}
        details = []
        if statistics:
            details.append(Detail("bins_of_entropy_and_uniformity", str(bins or chosen), "", "option or default"))
        if histogram:
            low, high = (next(q.value for q in quantities if q.name == name) for name in ("min", "max"))
            extra["histogram"] = binned(part, volume, chosen, low, high, unit)
        measurements.append(finished(kind, part, at, quantities, details=details, notes=notes, extra=extra))
    return measurements


def hu(image: Image, region: Region = None, **options: Any) -> Measurement:
    """Return statistics of Hounsfield units in a region; parameters, result and errors as `roi`.

    Raises
    ------
    InputError
        The values are not in Hounsfield units: another modality than CT, or a RescaleType other than HU.
    """
    return single(rois(image, region, kind="hu", **options))


def pixel(image: Image, point: Sequence[float], *, frame: int | None = None, device: str | None = None) -> Measurement:
    """Stored and rescaled value of the pixel at a point.

    Parameters
    ----------
    image : Volume, Frame, or path
        Where.
    point : (column, row) or (column, row, slice)
        From 0; the pixel whose centre is nearest.
    frame : int, optional
        1-based frame of a multi-frame file.

    Returns
    -------
    Measurement
        ``value`` in the unit of the image and ``stored_value`` (of colour ``red``, ``green`` and ``blue``).

    Raises
    ------
    InputError
        The point lies outside the image.
    """
    if len(point) == 3 and not isinstance(image, (Frame, Header)):
        try:
            volume = open_measured(image, None, device=device).volume
        except MissingSlicesError:
            k = int(nearest_pixel(point[2]))
            assert not isinstance(image, Volume)
            measured = pixel(slice_frame(image, k), point[:2], device=device)
            return replace(measured, notes=(*measured.notes, alone_note(k)))
        return _voxel(volume, point)
    if isinstance(image, Volume):
        if image.grid.shape[0] > 1:
            raise SelectionError("the volume has several slices", attribute="point", fix="write column,row,slice")
        return _voxel(image, (*point, 0))
    at = image if isinstance(image, Frame) else open_frame(image, frame=frame)
    if len(point) != 2:
        raise InputError(f"{tuple(point)} is not a point of a frame", attribute="point", fix="write column,row")
    volume = at.read(device)
    return _voxel(volume, (*point, 0))


def _voxel(volume: Volume, point: Sequence[float]) -> Measurement:
    from gpukit.device import move

    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", attribute="axes", fix="choose one with --phase")
    index = [int(nearest_pixel(float(value))) for value in point]
    nk, nj, ni = volume.grid.shape
    if not (0 <= index[0] < ni and 0 <= index[1] < nj and 0 <= index[2] < nk):
        raise InputError(
            f"the point {','.join(f'{v:g}' for v in point)} lies outside the image of {ni} x {nj} x {nk} pixels",
            attribute="point",
        )
    i, j, k = index
    unit = UCUM.get(ValueUnit(volume.unit), "1")
    value = move(volume.array[k : k + 1, j : j + 1, i : i + 1], "cpu")
    if volume.axes.endswith("c"):
        names = ("red", "green", "blue", "alpha")
        quantities = [Quantity(n, int(v), "1") for n, v in zip(names, value.reshape(-1).tolist(), strict=False)]
    else:
        quantities = [Quantity("value", value.reshape(-1).tolist()[0], unit)]
    notes = list(volume.notes)
    if not volume.axes.endswith("c") and volume.padding is not None:
        low, high = volume.padding
        if low <= quantities[0].value <= high:
            notes.append("the pixel is padding: no measurement")
    source = next(iter(volume.sources_of_slice(k)), None)
    stored = None if source is None or volume.axes.endswith("c") else _stored(source, i, j)
    if stored is not None:
        quantities.append(Quantity("stored_value", stored, "1"))
    from gpukit.findings.measurement import Graphic

    return Measurement(
        kind="pixel",
        quantities=tuple(quantities),
        graphics=(Graphic("POINT", ((float(i), float(j)),)),),
        sources=() if source is None else (source,),
        details=(Detail("column", i), Detail("row", j), *((Detail("slice", k),) if nk > 1 else ())),
        notes=tuple(notes),
        extra={"values": {q.name: q.value for q in quantities}},
    )


def nearest_pixel(value: float) -> float:
    """Nearest whole number; a place exactly between two pixels belongs to the first."""
    return math.ceil(value - 0.5)


def _stored(source: Any, i: int, j: int) -> float | None:
    """Return the number that the file holds at a pixel; None where that is not a single number."""
    from gpukit.dicom.pixels.frames import read_frame
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_header

    values = read_frame(read_header(Location(source.path, source.member)), (source.frame or 1) - 1)
    if values.ndim != 2 or not (j < values.shape[0] and i < values.shape[1]):
        return None
    number: float = values[j, i].item()
    return number


def size_of(part: Part, at: MeasuredImage) -> list[Quantity]:
    """Return the area of a drawn shape, or volume of the voxels of a mask or ball."""
    if part.drawn is not None:
        if at.calibration is None:
            return []
        from gpukit.measure.spatial.areas import area_unit

        scale = at.calibration
        if scale.units[0] != scale.units[1]:
            return []
        return [Quantity("area", part.drawn.area(scale.spacing), area_unit(scale.unit), _AREA)]
    if not at.volume.geometry.depth:
        return []  # its grid is a stand-in
    return [Quantity("volume", voxels_in(part) * part.grid.voxel_volume / 1000, "ml", _VOLUME)]


def finished(
    kind: str, part: Part, at: MeasuredImage, quantities: Sequence[Quantity], *, details: Sequence[Detail] = (),
    notes: Sequence[str] = (), extra: dict[str, Any] | None = None,
) -> Measurement:  # fmt: skip
    """Return a measurement of a part, with all that is known of where it was taken."""
    remarks = (*at.volume.notes, *at.notes, *part.notes, *notes)
    named = extra
    if part.label is not None:
        whose = mask_object(os.fspath(at.region)) if isinstance(at.region, (str, os.PathLike)) else {}
        named = {"segment": {"number": part.label, "name": part.name, **whose}, **(extra or {})}
    block = None
    if part.mask is not None:
        volume = at.volume
        block = MaskBlock(
            part.mask, part.start, part.grid, volume.sources, volume.metadata, volume.acquired_slices
        )  # fmt: skip
    return Measurement(
        kind=kind,
        quantities=tuple(quantities),
        graphics=part.graphics,
        sources=part.sources,
        calibration=at.calibration,
        label=part.name,
        tracking_id=part.tracking_id,
        tracking_uid=part.tracking_uid,
        frame_of_reference_uid=str(at.volume.metadata.get("FrameOfReferenceUID") or ""),
        details=(*details, *scale_details(at.volume)),
        notes=tuple(dict.fromkeys(remarks)),
        method=type(part.drawn).__name__.lower() if part.drawn is not None else "",
        extra=named,
        mask=block,
    )


@functools.lru_cache(maxsize=64)
def mask_object(path: str) -> dict[str, str]:
    """Identity of a DICOM Segmentation by its file; empty for masks of other kinds."""
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_header
    from gpukit.errors import GpukitError

    try:
        header = read_header(Location(path))
    except GpukitError:
        return {}
    kind = str(header.get("SOPClassUID", ""))
    if kind not in _SEGMENTATIONS:
        return {}
    return {"sop_class_uid": kind, "sop_instance_uid": str(header.get("SOPInstanceUID", "")), "path": path}


def single(measurements: Sequence[Measurement]) -> Measurement:
    """Return the only measurement.

    Raises
    ------
    SelectionError
        There are several, one a label.
    """
    if len(measurements) == 1:
        return measurements[0]
    listed = ", ".join(m.label for m in measurements)
    raise SelectionError(f"the mask has {len(measurements)} labels", attribute="labels", fix=f"choose one of {listed}")


def _check_hu(volume: Volume) -> None:
    if volume.unit == ValueUnit.HU:
        return
    modality = volume.metadata.get("Modality")
    if modality == "CT":
        kind = volume.metadata.get("RescaleType")
        attribute, what = ("RescaleType", f"is {kind}") if kind not in (None, "HU") else ("RescaleIntercept", "is none")
        raise InputError(f"the values are not in Hounsfield units: {attribute} {what}", attribute=attribute)
    raise InputError(
        f"the values are not in Hounsfield units: the modality is {modality or 'not known'}, not CT",
        attribute="Modality", fix="measure them with roi",
    )  # fmt: skip
