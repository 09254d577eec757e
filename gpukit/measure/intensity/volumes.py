"""Volumes of masks, and of values between thresholds: by voxels, by mesh and planimetric."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gpukit.device import array_namespace, move
from gpukit.dicom.modules.codes import Code
from gpukit.errors import DependencyError, GeometryError, InputError
from gpukit.findings.measurement import Detail, Measurement, Quantity
from gpukit.measure.intensity.features import voxels_in
from gpukit.measure.intensity.measured_image import Image, MeasuredImage, open_measured
from gpukit.measure.intensity.statistics import finished, single
from gpukit.measure.region.regions import Part, Region, Slices, parts_of
from gpukit.ops._arrays import invalid
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["METHODS", "volume", "volumes"]

Method = Literal["voxels", "mesh", "planimetric"]
METHODS: tuple[Method, ...] = get_args(Method)
_VOLUME = Code("118565006", "SCT", "Volume")
_SURFACE = Code("C0JK", "IBSI", "Surface Area of Mesh")


def volume(image: Image | Segmentation, region: Region = None, **options: Any) -> Measurement:
    """Return the volume of a mask, or of the values between thresholds.

    Parameters
    ----------
    image : Volume, Segmentation or path(s)
        The series that the mask belongs to, or a label map itself.
    region : Segmentation, path of a mask, Sphere, shape or None
        Which voxels; with `values` those of them that lie in the range.
    **options
        Keywords of `volumes`.

    Returns
    -------
    Measurement
        ``volume`` in ml by the chosen method, ``volume_voxels``, ``volume_mesh``, ``volume_planimetric``,
        ``surface_area`` in mm2 and ``n`` voxels.

    Raises
    ------
    InputError
        No voxel counts.
    SelectionError
        A label or slice must be named (`volumes` measures each label).
    """
    return single(volumes(image, region, **options))


def volumes(
    image: Image | Segmentation,
    region: Region = None,
    *,
    values: tuple[float | None, float | None] | None = None,
    method: Method = "voxels",
    slice: Slices = "all",
    labels: Any = None,
    threshold: float = 0.5,
    device: str | None = None,
) -> list[Measurement]:
    """One `volume` for each label of a mask.

    Parameters
    ----------
    image, region
        As in `volume`.
    values : (float or None, float or None), optional
        Lowest and highest value that counts, both included; None is not a bound. Padding never counts.
    method : {"voxels", "mesh", "planimetric"}
        Which one ``volume`` is. *voxels*: their number times the volume of one (IBSI YEKZ). *mesh*: the volume enclosed
        by the surface half way between voxels inside and outside, by the divergence theorem (IBSI RNU0). *planimetric*:
        areas in the slices times the distance that each slice stands for, from the slices' own positions, so that it
        is right for uneven slices too; of slices that were interpolated only those that were acquired count.
    slice : int, (int, int) or "all"
        Slices that a box or other shape reaches through.
    labels, threshold, device
        As in `gpukit.measure.intensity.statistics.roi`.
    """
    if method not in METHODS:
        raise InputError(f"unknown method {method!r}", attribute="method", fix=f"use one of {', '.join(METHODS)}")
    if isinstance(image, Segmentation):
        if region is not None or values is not None:
            raise InputError("a label map holds no values to choose from", attribute="values")
        carrier = Volume(
            array=image.array,
            grid=image.grid,
            sources=image.sources,
            metadata=image.metadata,
            notes=image.notes,
            geometry=image.geometry,
        )
        at, inside = MeasuredImage(carrier, image), parts_of(carrier, image, labels=labels)
    else:
        at = open_measured(image, region, slice=slice, device=device)
        flat = isinstance(at.region, (Segmentation, str)) or not hasattr(at.region, "bounds")
        inside = parts_of(at.volume, at.region, slice=None if flat else at.slice, labels=labels, threshold=threshold)
        if values is None and at.region is None:
            raise InputError("a volume needs a mask or thresholds", attribute="region", fix="give --roi or --threshold")
    if not at.volume.geometry.depth:
        raise GeometryError(
            "the image has no place in the patient, or no slice thickness: it has areas, no volume",
            fix="measure an area, or give the whole series",
        )
    measurements = []
    for part in inside:
        counted, details = (part, []) if values is None else _between(part, at.volume, values)
        quantities, notes = _sizes(counted, at.volume, method)
        extra = {"statistics": {q.name: q.value for q in quantities}}
        measurement = finished("volume", counted, replace(at, calibration=None), quantities, details=details,
                               notes=notes, extra=extra)  # fmt: skip
        measurements.append(replace(measurement, method=method))
    return measurements


def _between(part: Part, volume: Volume, values: tuple[float | None, float | None]) -> tuple[Part, list[Detail]]:
    """Select the voxels of a part by a range of values."""
    low, high = values
    if (low is None and high is None) or (low is not None and high is not None and low > high):
        raise InputError(f"there is no value from {low} to {high}", attribute="threshold")
    xp = array_namespace(part.values)
    wide = xp.astype(part.values, xp.float64 if "64" in str(part.values.dtype) else xp.float32)
    inside = xp.ones(wide.shape, dtype=xp.bool, device=_device(wide))
    if low is not None:
        inside = inside & (wide >= low)
    if high is not None:
        inside = inside & (wide <= high)
    missing = invalid(xp, part.values, volume.padding)
    if missing is not None:
        inside = inside & ~missing
    if part.mask is not None:
        inside = inside & xp.astype(part.mask, xp.bool)
    unit = str(volume.unit)
    details = [Detail(name, value, unit, "--threshold") for name, value in (("lowest", low), ("highest", high))
               if value is not None]  # fmt: skip
    return replace(part, mask=inside, acquired=None), details


def _sizes(part: Part, volume: Volume, method: str) -> tuple[list[Quantity], list[str]]:
    mask = part.mask
    if mask is None:
        xp = array_namespace(part.values)
        mask = xp.ones(part.values.shape, dtype=xp.bool, device=_device(part.values))
    host: NDArray[np.bool_] = np.asarray(move(mask, "cpu")) != 0
    n = voxels_in(replace(part, mask=mask))
    if n == 0:
        raise InputError("no voxel lies between the thresholds", attribute="threshold")
    millilitres = {"voxels": n * part.grid.voxel_volume / 1000}
    rows = [Quantity("volume_voxels", millilitres["voxels"], "ml", Code("YEKZ", "IBSI", "Volume from Voxel Summation"))]
    notes = []
    try:
        from gpukit.ops.mask_surface import mask_surface

        mesh = mask_surface(host, part.block_grid)
        millilitres["mesh"] = mesh.volume / 1000
        rows += [
            Quantity("volume_mesh", millilitres["mesh"], "ml", Code("RNU0", "IBSI", "Volume of Mesh")),
            Quantity("surface_area", mesh.area, "mm2", _SURFACE),
        ]
    except DependencyError as error:
        if method == "mesh":
            raise
        notes.append(f"no volume by mesh: {error}")
    millilitres["planimetric"] = _planimetric(host, part, volume)
    rows.insert(len(rows) - 1 if "mesh" in millilitres else len(rows),
                Quantity("volume_planimetric", millilitres["planimetric"], "ml"))  # fmt: skip
    head = Quantity("volume", millilitres[method], "ml", _VOLUME)
    return [head, *rows, Quantity("n", n, "{voxels}")], notes


def _planimetric(host: NDArray[np.bool_], part: Part, volume: Volume) -> float:
    """Return the area of the voxels in each slice times the distance that the slice stands for, in ml.

    Of a mask that was drawn on the acquired slices of a volume with interpolated ones, those slices alone count.
    """
    grid = part.grid
    cross = np.cross(grid.affine[:3, 0], grid.affine[:3, 1])
    area = float(np.linalg.norm(cross))
    normal = cross / area
    nk = grid.shape[0]
    places = np.array([float(grid.to_world((0, 0, k)) @ normal) for k in range(nk)])
    positions = {} if volume.acquired_slices else {s.index: s.position for s in volume.sources if s.phase == 0}
    counts, first = host.sum(axis=(1, 2)), part.start[0]
    if part.acquired is not None:
        places = np.asarray(volume.acquired_slices, float) * abs(float(grid.affine[:3, 2] @ normal))
        counts, first = part.acquired.sum(axis=(1, 2)), 0
    elif nk > 1 and set(positions) == set(range(nk)) and math.isclose(abs(places[-1] - places[0]), abs(
        float(np.dot(np.subtract(positions[nk - 1], positions[0]), normal))), rel_tol=0.01
    ):  # fmt: skip
        places = np.array([float(np.dot(positions[k], normal)) for k in range(nk)])
    if len(places) == 1:
        steps = np.array([grid.voxel_volume / area])
    else:
        gaps = np.abs(np.diff(places))
        steps = np.concatenate([[gaps[0]], (gaps[:-1] + gaps[1:]) / 2, [gaps[-1]]])
    return float((counts * steps[first : first + len(counts)]).sum()) * area / 1000


def _device(array: Any) -> Any:
    from gpukit.ops._arrays import device

    return device(array)


def parse_range(text: str) -> tuple[float | None, float | None]:
    """Return the lowest and highest value of ``200``, ``200,500``, ``,500`` or ``200,``.

    Raises
    ------
    InputError
        It is none of these.
    """
    words: Sequence[str] = text.split(",")
    try:
        ends = [None if not word.strip() else float(word) for word in words]
    except ValueError:
        ends = []
    if len(ends) == 1:
        ends.append(None)
    if len(ends) != 2 or all(end is None for end in ends) or any(e is not None and not math.isfinite(e) for e in ends):
        raise InputError(f"{text!r} is not a range of values", attribute="threshold", fix="write 200, or 200,500")
    return ends[0], ends[1]
