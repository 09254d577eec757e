"""The longest diameter of a region and the longest one perpendicular to it, as RECIST and the WHO measure lesions.

Source: E. A. Eisenhauer et al., New response evaluation criteria in solid tumours: revised RECIST guideline (version
1.1), European Journal of Cancer 45 (2009), 228-247; longest diameter and short axis in the plane of measurement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.reader.discovery import Location, Source
from gpukit.dicom.reader.headers import Header, read_header
from gpukit.errors import GeometryError, InputError, SelectionError
from gpukit.findings.measurement import Calibration, Detail, Graphic, Measurement, Quantity
from gpukit.measure.region.mask_contours import regions_of
from gpukit.measure.region.shapes import Polygon
from gpukit.measure.spatial.areas import shape_on
from gpukit.measure.spatial.calibration import grid_calibration
from gpukit.measure.spatial.series_space import space_of
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["Axes", "axes_of", "bidirectional"]

LONG_AXIS = Code("103339001", "SCT", "Long Axis")
SHORT_AXIS = Code("103340004", "SCT", "Short Axis")

Vector = NDArray[np.float64]
_CHUNK = 1 << 22


@dataclass(frozen=True)
class Axes:
    """Both diameters, in the coordinates of the rings that they were found in.

    Parameters
    ----------
    long, short : array (2, 2)
        Two ends each, (x, y).
    """

    long: Vector
    short: Vector

    @property
    def lengths(self) -> tuple[float, float]:
        """Of the long and of the short one."""
        return float(np.linalg.norm(self.long[1] - self.long[0])), float(np.linalg.norm(self.short[1] - self.short[0]))


def bidirectional(
    image: Source | Header | Frame | Volume,
    region: Polygon | Segmentation | ArrayLike,
    *,
    label: int | None = None,
    frame: int | None = None,
    calibration: Calibration | None = None,
) -> Measurement:
    """Longest diameter of a region and the longest one perpendicular to it in the same plane.

    The long axis joins the two points of the outline that are farthest apart; the short axis is the longest piece,
    inside the region, of a line perpendicular to it. A mask's outline runs halfway between the pixels inside and those
    outside; it is traced on the host. Of a mask of several slices, or of several regions in a slice, the one with the
    longest diameter is taken.

    Parameters
    ----------
    image : path, Header or Frame; or Volume
        A frame for a polygon or a two-dimensional mask; a volume for a mask of several slices.
    region : Polygon, Segmentation or array
        The lesion: an outline in (column, row), a mask ``[j, i]`` of the frame, or one ``[k, j, i]`` on the volume's
        grid.
    label : int, optional
        Which label of the mask; needed where it holds several.
    frame : int, optional
        1-based frame of a multi-frame file.
    calibration : Calibration, optional
        Size of a pixel from `gpukit.measure.spatial.calibration.manual`; for a frame.

    Returns
    -------
    Measurement
        ``long_axis`` and ``short_axis`` in mm (``{pixels}`` on an image without calibration), drawn as two lines.

    Raises
    ------
    InputError
        The mask is empty, or its shape is not that of the image.
    SelectionError
        The mask holds several labels and none was chosen, or not the one chosen.
    """
    if isinstance(image, Volume):
        return _in_volume(image, region, label)
    opened = open_frame(image, frame=frame)
    if isinstance(region, Polygon):
        _, scale, notes = shape_on(opened, region, calibration=calibration)
        groups = [[np.asarray(region.points)]]
    else:
        mask = _mask(region, label, (opened.rows, opened.columns))
        groups = regions_of(mask)
        if not groups:
            raise InputError("the mask is empty", file=opened.file)
        from gpukit.measure.spatial.calibration import calibration_of

        corners = np.concatenate([group[0] for group in groups])
        low, high = corners.min(axis=0), corners.max(axis=0)
        scale = calibration_of(
            opened, [(float(low[0]), float(low[1])), (float(high[0]), float(high[1]))], given=calibration
        )
        notes = ()
    spacing = np.asarray(scale.spacing)
    best = _longest(groups, spacing)
    assert best is not None
    lines = [tuple((float(x), float(y)) for x, y in axis / spacing) for axis in (best.long, best.short)]
    return Measurement(
        kind="bidirectional",
        quantities=_quantities(best, scale.unit),
        graphics=tuple(Graphic("POLYLINE", line) for line in lines),
        sources=(opened.source,),
        calibration=scale,
        notes=notes,
    )


def axes_of(rings: Sequence[ArrayLike]) -> Axes:
    """Both diameters of one region.

    Parameters
    ----------
    rings : sequence of array_like, (n, 2)
        The outer ring and its holes, in units in which lengths are right.

    Returns
    -------
    Axes
        Of equally long diameters, the one found first.
    """
    points = [np.asarray(ring, np.float64) for ring in rings]
    long = _farthest(points[0])
    return Axes(long, _widest(points, long))


def _in_volume(volume: Volume, region: Any, label: int | None) -> Measurement:
    if isinstance(region, Polygon):
        raise InputError("a polygon belongs to a frame: give the file of the slice, or a mask of the volume")
    if isinstance(region, Segmentation) and not region.grid.same_as(volume.grid):
        raise GeometryError(
            "the mask lies on another grid than the volume", fix="read it with gpukit.io.masks.open_mask"
        )
    mask = _mask(region, label, volume.grid.shape)
    if not volume.geometry.position:  # its grid is a stand-in: the scale is that of the picture
        if len(mask) != 1 or not volume.sources:
            raise GeometryError("the volume has no place in the patient", fix="give a frame of the image, and its mask")
        first = volume.sources[0]
        header = read_header(Location(first.path, first.member))
        return bidirectional(header, mask[0], frame=first.frame or 1)
    si, sj, _ = volume.grid.spacing
    if abs(float(volume.grid.direction[:, 0] @ volume.grid.direction[:, 1])) > 1e-4:
        raise GeometryError("rows and columns of the volume are not perpendicular: resample it first")
    spacing = np.asarray((si, sj))
    best, at = None, -1
    for k in np.flatnonzero(mask.any(axis=(1, 2))).tolist():
        j, i = np.nonzero(mask[k])
        reach = float(np.hypot((np.ptp(i) + 1) * si, (np.ptp(j) + 1) * sj))
        if best is not None and reach <= best.lengths[0]:
            continue  # not even the diagonal of its box is longer
        diameters = _longest(regions_of(mask[k]), spacing)
        if diameters is not None and (best is None or diameters.lengths[0] > best.lengths[0]):
            best, at = diameters, k
    if best is None:
        raise InputError("the mask is empty")
    space = space_of(volume)
    source = space.sources[at] if space.sources else None
    flat = [axis / spacing for axis in (best.long, best.short)]
    if source is not None and np.abs(np.asarray(source.position) - space.origins[at]).max() < 1e-3:
        graphics = [Graphic("POLYLINE", tuple((float(x), float(y)) for x, y in line)) for line in flat]
    else:  # resampled: the lines belong to the patient, not to an image that was acquired
        graphics = [
            Graphic("POLYLINE", tuple(tuple(map(float, volume.grid.to_world((x, y, at)))) for x, y in line), "patient")
            for line in flat
        ]
    return Measurement(
        kind="bidirectional",
        quantities=_quantities(best, "mm"),
        graphics=tuple(graphics),
        sources=() if source is None else (source,),
        calibration=grid_calibration(volume),
        frame_of_reference_uid=space.frame_of_reference_uid,
        details=(Detail("slice", at, "", "the one with the longest diameter"),),
        notes=volume.notes,
    )


def _mask(region: Any, label: int | None, shape: tuple[int, ...]) -> NDArray[np.bool_]:
    """One label as booleans on the host."""
    from gpukit.device import move

    array = np.asarray(move(region.array if isinstance(region, Segmentation) else region, "cpu"))
    if array.shape != shape:
        if array.shape == (1, *shape):
            array = array[0]
        else:
            raise InputError(f"a mask of shape {array.shape} does not fit an image of shape {shape}")
    if label is not None:
        mask = array == label
        if not mask.any():
            raise SelectionError(f"the mask holds no label {label}", attribute="label")
        return np.asarray(mask)
    if array.dtype.kind != "b":
        present = [int(value) for value in np.unique(array) if value]
        if len(present) > 1:
            raise SelectionError(
                f"the mask holds {len(present)} labels", attribute="label",
                fix=f"choose one of {', '.join(map(str, present[:20]))}",
            )  # fmt: skip
    return np.asarray(array != 0)


def _quantities(axes: Axes, unit: str) -> tuple[Quantity, ...]:
    longer, shorter = axes.lengths
    return Quantity("long_axis", longer, unit, LONG_AXIS), Quantity("short_axis", shorter, unit, SHORT_AXIS)


def _longest(groups: list[list[Vector]], spacing: Vector) -> Axes | None:
    """Axes, in mm, of the region with the longest diameter."""
    longest, best = -1.0, None
    for rings in groups:
        ends = _farthest(rings[0] * spacing)
        length = float(np.linalg.norm(ends[1] - ends[0]))
        if length > longest:
            longest, best = length, (rings, ends)
    if best is None:
        return None
    rings, ends = best
    return Axes(ends, _widest([ring * spacing for ring in rings], ends))


def _farthest(points: Vector) -> Vector:
    """Return the two points that are farthest apart; both lie on the convex hull."""
    hull = _hull(points)
    best, ends = -1.0, (0, 0)
    step = max(1, _CHUNK // len(hull))
    for begin in range(0, len(hull), step):
        piece = hull[begin : begin + step]
        squared = ((piece[:, None] - hull[None]) ** 2).sum(axis=2)
        at = int(squared.argmax())
        if squared.flat[at] > best:
            best, ends = float(squared.flat[at]), (begin + at // len(hull), at % len(hull))
    return hull[list(ends)]


def _hull(points: Vector) -> Vector:
    """Return corners of the convex hull (A. M. Andrew's monotone chain)."""
    ordered = np.unique(points, axis=0)
    if len(ordered) < 3:
        return ordered
    chains: list[list[tuple[float, float]]] = []
    for run in (ordered.tolist(), ordered[::-1].tolist()):
        chain: list[tuple[float, float]] = []
        for x, y in run:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2:]
                if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                    break
                chain.pop()
            chain.append((x, y))
        chains.append(chain[:-1])
    return np.asarray(chains[0] + chains[1])


def _widest(rings: list[Vector], long: Vector) -> Vector:
    """Ends of the longest piece inside the rings of a line perpendicular to the long axis.

    Between two neighbouring corners, seen along the axis, the width changes linearly: it is greatest at a corner.
    """
    along = (long[1] - long[0]) / np.linalg.norm(long[1] - long[0])
    across = np.array((-along[1], along[0]))
    origin = long[0]
    starts = np.concatenate(rings) - origin
    ends = np.concatenate([np.roll(ring, -1, axis=0) for ring in rings]) - origin
    t0, t1, s0, s1 = starts @ along, ends @ along, starts @ across, ends @ across
    levels = np.unique(t0)
    tiny = 1e-12 * max(1.0, float(np.abs(levels).max()))
    best, place = -1.0, (0.0, 0.0, 0.0)
    for low, high in pairwise(levels.tolist()):
        if high - low <= tiny:
            continue
        middle = (low + high) / 2
        crossed = np.flatnonzero((np.minimum(t0, t1) < middle) & (np.maximum(t0, t1) > middle))
        slope = (s1[crossed] - s0[crossed]) / (t1[crossed] - t0[crossed])
        order = np.argsort(s0[crossed] + (middle - t0[crossed]) * slope)
        for level in (low, high):
            edges = (s0[crossed] + (level - t0[crossed]) * slope)[order]
            widths = edges[1::2] - edges[0::2]
            n = int(widths.argmax())
            if widths[n] > best:
                best, place = float(widths[n]), (float(level), float(edges[2 * n]), float(edges[2 * n + 1]))
    level, first, last = place
    return np.stack([origin + level * along + first * across, origin + level * along + last * across])
