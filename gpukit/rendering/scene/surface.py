"""Surfaces of volumes: of a threshold, or of each label of a label map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.errors import InputError, SelectionError
from gpukit.ops.isosurface import Mesh, decimate, isosurface, largest_part
from gpukit.ops.isosurface import smooth as smoothed
from gpukit.segmentation import Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["Mesh", "label_surfaces", "surface", "usual_threshold"]

#: HU that shows bone and contrast.
_BONE = 200.0
_BINS = 256
#: More labels than this are not a label map but an image.
_MOST_LABELS = 4096


def surface(
    volume: Volume,
    threshold: float | None = None,
    *,
    largest: bool = False,
    smooth: int = 0,
    target: float | None = None,
) -> Mesh:
    """Return the surface around all voxels of at least a threshold, closed, in LPS mm.

    Parameters
    ----------
    volume : Volume
        3D and grey; on any device. Its padding is outside.
    threshold : float or None
        In the unit of the volume; None takes `usual_threshold`.
    largest : bool
        Only the connected surface that encloses most.
    smooth : int
        Iterations of a smoothing that does not shrink; 0 for none.
    target : float or None
        Triangles to keep: below 1 a share of them, from 4 their number.

    Raises
    ------
    InputError
        There is no surface at the threshold, or an argument is out of range.
    SelectionError
        The volume has several phases or colours.
    DependencyError
        VTK is missing.
    """
    _check(volume)
    level = usual_threshold(volume) if threshold is None else float(threshold)
    return _finished(isosurface(volume.array, level, volume.grid, padding=volume.padding), largest, smooth, target)


def label_surfaces(
    volume: Volume | Segmentation,
    labels: Sequence[int] | None = None,
    *,
    largest: bool = False,
    smooth: int = 0,
    target: float | None = None,
) -> dict[int, Mesh]:
    """Return the surface of each label of a label map, half way between its voxels and the others.

    Parameters
    ----------
    volume : Volume or Segmentation
        Whole numbers; 0 is background.
    labels : sequence of int or None
        Which; None takes all that occur.
    largest, smooth, target
        As in `surface`, for each label.

    Returns
    -------
    dict of int to Mesh
        In ascending order.

    Raises
    ------
    InputError
        The values are not labels, or a label does not occur.
    """
    if isinstance(volume, Volume):
        _check(volume)
    values = np.asarray(move(volume.array, "cpu"))
    planes = volume.planes if isinstance(volume, Segmentation) else None
    if planes is None:
        occur = [int(value) for value in _occurring(values) if value != 0]
    else:  # labels overlap, and each has its own voxels
        assert isinstance(volume, Segmentation)
        masks = {label.value: np.asarray(move(volume.mask(label), "cpu")) for label in volume.labels}
        occur = sorted(value for value, mask in masks.items() if mask.any())
    chosen = occur if labels is None else sorted(set(labels))
    missing = [value for value in chosen if value not in occur]
    if missing or not chosen:
        shown = ", ".join(map(str, occur[:20])) + (" ..." if len(occur) > 20 else "")
        raise InputError(f"there is no label {missing[0]}" if missing else "there are no labels but the background",
                         attribute="labels", fix=f"there are {shown}" if occur else None)  # fmt: skip
    meshes = {}
    for value in chosen:
        whole = values == value if planes is None else masks[value]
        box = _box(whole)
        inside = whole[box]
        framed = np.pad(inside, 1)  # so that something is outside even where the label fills its box
        grid = volume.grid.crop([part.start - 1 for part in box], framed.shape)
        meshes[value] = _finished(isosurface(framed.astype(np.uint8), 0.5, grid), largest, smooth, target)
    return meshes


def _occurring(values: NDArray[Any]) -> NDArray[Any]:
    """Return the values of a label map, ascending; InputError where it is none."""
    distinct: set[Any] = set()
    for plane in values:
        distinct.update(np.unique(plane).tolist())
        if len(distinct) > _MOST_LABELS or any(
            value < 0 or value != int(value) for value in distinct if value == value
        ):
            break
    there = np.array(sorted(distinct))
    if there.size > _MOST_LABELS or not (there >= 0).all() or not np.array_equal(there, np.rint(there)):
        raise InputError(
            "the voxels are not labels: whole numbers of which 0 is the background are needed",
            fix="give a label map, or name one with --mask",
        )
    return there


def _box(inside: NDArray[np.bool_]) -> tuple[slice, slice, slice]:
    """Return the smallest block that holds all that is true."""
    spans = []
    for axis in range(3):
        (indices,) = np.nonzero(inside.any(axis=tuple(other for other in range(3) if other != axis)))
        spans.append(slice(int(indices[0]), int(indices[-1]) + 1))
    return spans[0], spans[1], spans[2]


def usual_threshold(volume: Volume) -> float:
    """200 for Hounsfield units (bone and contrast), else Otsu's threshold: largest variance between the two sides."""
    if volume.unit == ValueUnit.HU:
        return _BONE
    _check(volume)
    values = np.asarray(move(volume.array, "cpu")).astype(np.float64)
    valid = np.isfinite(values)
    if volume.padding is not None:
        valid &= (values < volume.padding[0]) | (values > volume.padding[1])
    values = values[valid]
    if not values.size or values.min() == values.max():
        raise InputError("all voxels have the same value: there is no surface")
    counts, edges = np.histogram(values, bins=_BINS)
    middles = (edges[1:] + edges[:-1]) / 2
    below, above = np.cumsum(counts)[:-1], counts.sum() - np.cumsum(counts)[:-1]
    sums = np.cumsum(counts * middles)
    between = below * above * (sums[:-1] / below - (sums[-1] - sums[:-1]) / above) ** 2
    return float(edges[1:-1][int(between.argmax())])


def _check(volume: Volume) -> None:
    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", fix="choose one (phase=, --phase)")
    if volume.axes.endswith("c"):
        raise SelectionError("a surface needs grey values and the volume is in colour")


def _finished(mesh: Mesh, largest: bool, smooth: int, target: float | None) -> Mesh:
    if smooth < 0:
        raise InputError(f"smoothing takes 0 or more iterations, not {smooth}", attribute="smooth")
    if largest:
        mesh = largest_part(mesh)
    if smooth:
        mesh = smoothed(mesh, smooth)
    return mesh if target is None else decimate(mesh, target)
