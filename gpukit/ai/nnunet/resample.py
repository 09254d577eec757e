"""nnU-Net's resampling as three small matrices, one an axis, applied on whatever device the image is on.

nnU-Net resamples with `skimage.transform.resize` (``mode="edge"``, no anti-aliasing), that is `scipy.ndimage.zoom` with
``grid_mode``: outer faces coincide, and splines of order n are products of splines along the axes. So each axis has a
matrix from old voxels to new ones. It is found by resampling the unit vectors with SciPy itself, which makes the result
SciPy's to float64 rounding, and is applied as matrix products, which every device does fast. Splines of order 3 reach
all voxels of a row in theory; beyond some 28 voxels their weights are below float64's precision and are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

__all__ = ["Resampling", "axis_matrix", "new_shape", "resample", "resample_labels", "separate_axis"]

#: Weights below this share of a voxel cannot change a float64 sum.
NEGLIGIBLE = 1e-17
#: Two shares of labels that differ by less are equal.
LEVEL = 1e-6
#: What is more than a half, and not by rounding.
HALF = 0.5 + LEVEL
#: Numbers that one step may hold in float64 beside the result: 128 MB.
BUDGET = 16 << 20


@dataclass(frozen=True, kw_only=True)
class Resampling:
    """How images or logits are resampled, as ``resampling_fn_..._kwargs`` of a plan say it.

    Parameters
    ----------
    order : int
        Of the spline, 0 to 5; in the plane where `order_z` is used.
    order_z : int
        Along the axis of low resolution, where that is resampled on its own.
    separate_z : bool or None
        Whether it is; None decides by the ratio of the spacings.
    threshold : float
        Ratio of the largest spacing to the smallest above which it is.
    clip : bool
        Whether values stay within those of the image (or slice), as skimage's `resize` keeps them.
    """

    order: int = 3
    order_z: int = 0
    separate_z: bool | None = None
    threshold: float = 3.0
    clip: bool = True


def new_shape(shape: Sequence[int], spacing: Sequence[float], target: Sequence[float]) -> tuple[int, int, int]:
    """Voxels along each axis after resampling, rounded as nnU-Net rounds."""
    a, b, c = (max(1, round(old / new * n)) for n, old, new in zip(shape, spacing, target, strict=True))
    return a, b, c


def separate_axis(how: Resampling, current: Sequence[float], target: Sequence[float]) -> int | None:
    """The axis that is resampled on its own, if there is one: the only one of the largest spacing of a thick stack."""
    if how.separate_z is not None:
        chosen = current if how.separate_z else None
    else:
        chosen = next((s for s in (current, target) if max(s) / min(s) > how.threshold), None)
    if chosen is None:
        return None
    coarse = [n for n, s in enumerate(chosen) if max(chosen) / s == 1]
    return coarse[0] if len(coarse) == 1 else None


def axis_matrix(old: int, new: int, order: int, *, alone: bool = False) -> NDArray[np.float64]:
    """Weights ``[new, old]`` along one axis.

    `alone` is for the axis that is resampled on its own, which nnU-Net does with `scipy.ndimage.map_coordinates`.
    """
    from scipy import ndimage

    unit = np.eye(old)
    if old == new:
        return unit
    if alone:
        at = float(old) / new * (np.arange(new) + 0.5) - 0.5
        where = np.stack(np.broadcast_arrays(at[:, None], np.arange(old, dtype=float)[None, :]))
        found = ndimage.map_coordinates(unit, where, order=order, mode="nearest")
    else:
        found = ndimage.zoom(unit, (new / old, 1.0), order=order, mode="nearest", grid_mode=True)
    return np.asarray(found, np.float64)


def resample(
    image: torch.Tensor, shape: Sequence[int], current: Sequence[float], target: Sequence[float], how: Resampling
) -> torch.Tensor:
    """An image ``[a, b, c]`` on another number of voxels between the same outer faces.

    Parameters
    ----------
    image : tensor, float32
        Any device.
    shape : sequence of int
        Voxels to be had.
    current, target : sequence of float
        Spacings in mm along the axes, which only decide whether one axis is resampled on its own.
    how : Resampling
        Orders and rules.

    Returns
    -------
    tensor, float32
        On the same device. Sums are float64 where the device has it.
    """
    if tuple(image.shape) == tuple(shape):
        return image
    axis = separate_axis(how, current, target)
    order = how.order
    if axis is None:
        low, high = image.min(), image.max()
        result = image
        for n in _cheapest(image.shape, shape):
            result = _along(result, n, axis_matrix(int(image.shape[n]), shape[n], order))
        # splines of order 0 and 1 cannot leave the range but by rounding
        return result.clamp_(min=low, max=high) if how.clip else result
    plane = [n for n in range(3) if n != axis]
    result = image
    for n in plane:
        result = _along(result, n, axis_matrix(int(image.shape[n]), shape[n], order))
    if how.clip and result is not image:
        low, high = image.amin(dim=plane, keepdim=True), image.amax(dim=plane, keepdim=True)
        result = result.clamp(min=low, max=high)
    return _along(result, axis, axis_matrix(int(image.shape[axis]), shape[axis], how.order_z, alone=True))


def resample_labels(
    labels: torch.Tensor, shape: Sequence[int], current: Sequence[float], target: Sequence[float], how: Resampling
) -> torch.Tensor:
    """Whole numbers ``[a, b, c]`` on another number of voxels between the same outer faces, no other numbers made.

    Each number's own indicator is resampled and the largest wins; of equal ones that which is nearest, else the lowest.
    Along an axis that is resampled on its own this is done within the planes; then the nearest plane counts, or with an
    order above 0 what reaches more than one half.
    """
    import torch

    if tuple(labels.shape) == tuple(shape):
        return labels
    axis = separate_axis(how, current, target)
    if axis is None:
        return _elected(labels, shape, how.order)
    flat = [int(labels.shape[n]) if n == axis else size for n, size in enumerate(shape)]
    result = _elected(labels, flat, how.order)
    if flat[axis] == shape[axis]:
        return result
    weights = axis_matrix(flat[axis], shape[axis], how.order_z, alone=True)
    if how.order_z == 0:
        return result.index_select(axis, torch.as_tensor(weights.argmax(axis=1), device=labels.device))
    found = result.new_zeros(tuple(shape))
    for value in torch.unique(result).tolist():
        found[_along((result == value).to(torch.float32), axis, weights) > HALF] = value
    return found


def _elected(labels: torch.Tensor, shape: Sequence[int], order: int) -> torch.Tensor:
    """Each voxel's label whose indicator is the largest once resampled along the axes that change."""
    import torch

    def resized(indicator: torch.Tensor, spline: int) -> torch.Tensor:
        result = indicator.to(torch.float32)
        for n in _cheapest(indicator.shape, shape):
            result = _along(result, n, axis_matrix(int(indicator.shape[n]), shape[n], spline))
        return result.clamp_(0.0, 1.0) if result is not indicator else result

    nearest = labels
    for n, size in enumerate(shape):
        rows = axis_matrix(int(labels.shape[n]), size, 0).argmax(axis=1)
        nearest = nearest.index_select(n, torch.as_tensor(rows, device=labels.device))
    if order == 0:
        return nearest
    best = winner = level = None
    for value in torch.unique(labels).tolist():
        score = resized(labels == value, order)
        near = nearest == value
        if best is None or winner is None or level is None:
            best, winner, level = score, torch.full_like(nearest, value), near & (score > 0)
            continue
        level |= near & (score > 0) & ((score - best).abs() <= LEVEL)  # sums that rounding alone may part
        better = score > best + LEVEL
        winner[better] = value
        level = torch.where(better, near, level)
        best = torch.maximum(best, score)
    assert winner is not None and level is not None
    return torch.where(level, nearest, winner)


def _cheapest(old: Sequence[int], new: Sequence[int]) -> list[int]:
    """Axes in the order that keeps what lies between small: those that shrink come first."""
    return sorted(range(3), key=lambda n: new[n] / old[n])


def _along(image: torch.Tensor, axis: int, weights: NDArray[np.float64]) -> torch.Tensor:
    """`weights` applied along one axis; new rows and neighbouring columns a piece at a time."""
    import torch

    new, old = weights.shape
    if new == old and np.array_equal(weights, np.eye(old)):
        return image
    wide = torch.float32 if image.device.type == "mps" else torch.float64
    matrix = torch.as_tensor(weights).to(wide).to(image.device)
    first = image.movedim(axis, 0)
    columns = first.reshape(old, -1)  # a copy unless the axis is the first
    result = torch.empty((new, columns.shape[1]), dtype=torch.float32, device=image.device)
    bands = _bands(weights)
    step = max(1, BUDGET // (2 * max(old, new)))
    for start in range(0, columns.shape[1], step):
        part = columns[:, start : start + step].to(wide)
        for rows, near in bands:
            result[rows, start : start + step] = (matrix[rows, near] @ part[near]).to(torch.float32)
    return result.reshape(new, *first.shape[1:]).movedim(0, axis)


def _bands(weights: NDArray[np.float64], rows: int = 32) -> list[tuple[slice, slice]]:
    """Pieces of new rows with the old ones that they are made of."""
    found = []
    for start in range(0, weights.shape[0], rows):
        piece = slice(start, min(weights.shape[0], start + rows))
        used = np.flatnonzero(np.abs(weights[piece]).max(axis=0) > NEGLIGIBLE)
        found.append((piece, slice(int(used[0]), int(used[-1]) + 1)))
    return found
