"""Pixels of planes and slabs: moved where the volume's axes allow it, sampled everywhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from gpukit.device import array_namespace
from gpukit.errors import TooLargeError
from gpukit.geometry import Grid
from gpukit.ops.project import project, project_slab
from gpukit.ops.resample import resample
from gpukit.rendering.mpr.view import PLANES, View, is_aligned, missed, view_grid, view_of
from gpukit.volume import Volume

__all__ = ["named_cut", "named_stack", "real_type", "sampled_cut", "sampled_stack"]

#: Voxels of one stack; more is a mistake in spacing.
_MOST_VOXELS = 1 << 31


def named_cut(volume: Volume, plane: str, centre: Any, depth: float | None, method: str, order: int) -> Volume:
    """Return the plane of that name through `centre`, or the slab around it (`depth` mm, None for all)."""
    view = view_of(plane)
    if is_aligned(volume.grid):
        return _indexed(volume, PLANES[plane], centre, depth, method)
    return sampled_cut(volume, view, centre, depth, method, order)


def _indexed(volume: Volume, codes: str, centre: Any, depth: float | None, method: str) -> Volume:
    """Return voxels along the volume's own axes, moved and reduced but not interpolated.

    A maximum or minimum is of the slices whose centers lie in the slab; a center on its far face belongs to the next
    one, so that a slab of n slices' thickness has n slices wherever it lies. A mean has each slice with the share of it
    that lies in the slab, as if slices were boxes.
    """
    turned, axes, flips = volume.grid.reoriented(codes)
    count = turned.shape[0]
    at, step = float(turned.to_index(centre)[2]), turned.spacing[2]
    if depth is None:
        first, stop = 0, count
    elif not _touches(at, depth / step, count):
        raise missed(volume.grid, centre)
    else:
        half = depth / step / 2
        low, high = (at - half, at + half) if method != "mean" or depth == 0.0 else (at - half - 0.5, at + half + 0.5)
        # of a mean all slices that the slab meets, else those whose centers lie in it
        first = max(0, int(np.floor(low + 1e-6)) + 1 if method == "mean" else int(np.ceil(low - 1e-6)))
        stop = min(count, int(np.ceil(high - 1e-6)))
        if depth == 0.0 or first >= stop:  # thinner than the distance of slices: the nearest one
            first = min(max(int(np.floor(at + 0.5)), 0), count - 1)
            stop = first + 1
    xp = array_namespace(volume.array)
    along = axes[0]
    start, end = (count - stop, count - first) if flips[0] else (first, stop)
    shares = _shares(at, None if depth is None else depth / step, first, stop) if method == "mean" else None
    if stop - first == 1 and method != "mean":
        picture = volume.array[tuple(start if a == along else _ALL for a in range(3))]
    elif shares is not None:
        picture = _weighted(volume, along, start, shares[::-1] if flips[0] else shares)
    else:
        picture = project(volume.array, along, method=method, start=start, stop=end, padding=volume.padding)
    if axes[1] > axes[2]:
        picture = xp.permute_dims(picture, (1, 0))
    turn = tuple(a for a in (0, 1) if flips[a + 1])
    if turn:
        picture = xp.flip(picture, axis=turn)
    affine = turned.affine.copy()
    middle, thick = (first + stop - 1) / 2, float(stop - first)
    if shares is not None:
        thick = float(sum(shares))
        middle = max(first - 0.5, at - depth / step / 2) + thick / 2  # type: ignore[operator]
    affine[:3, 3] = turned.to_world((0, 0, middle))
    affine[:3, 2] *= thick
    return volume.with_array(xp.expand_dims(picture, axis=0), grid=Grid((1, turned.shape[1], turned.shape[2]), affine))


def _shares(at: float, depth: float | None, first: int, stop: int) -> list[float] | None:
    """How much of each slice from `first` lies in a slab of `depth` slices around `at`; None where all of each does."""
    if not depth:
        return None
    low, high = at - depth / 2, at + depth / 2
    shares = [max(0.0, min(high, k + 0.5) - max(low, k - 0.5)) for k in range(first, stop)]
    return None if min(shares) > 1 - 1e-6 or max(shares) <= 0 else shares


def _weighted(volume: Volume, along: int, start: int, shares: list[float]) -> Any:
    """Return the mean of slices along an array axis, each with its share; what is not a measurement takes no part."""
    total: Any = None
    weight: Any = None
    xp = array_namespace(volume.array)
    for n, share in enumerate(shares, start):
        one = project(volume.array, along, method="mean", start=n, stop=n + 1, padding=volume.padding)
        ok = ~xp.isnan(one)
        part, counted = xp.where(ok, one * share, xp.zeros_like(one)), xp.astype(ok, one.dtype) * share
        total, weight = (part, counted) if total is None else (total + part, weight + counted)
    nothing = xp.full_like(total, float("nan"))
    return xp.where(weight > 0, total / xp.where(weight > 0, weight, xp.ones_like(weight)), nothing)


_ALL = slice(None)


def _touches(at: float, width: float, count: int) -> bool:
    """Return whether a slab of `width` voxels around index `at` reaches the volume's outer voxels' faces."""
    return at + width / 2 >= -0.5 - 1e-6 and at - width / 2 <= count - 0.5 + 1e-6


def sampled_cut(volume: Volume, view: View, centre: Any, depth: float | None, method: str, order: int) -> Volume:
    """Return the plane or slab sampled in square pixels."""
    grid = view_grid(volume.grid, view, centre, thickness=depth)
    if depth == 0.0:
        matrix, real = volume.grid.matrix_from(grid), real_type(volume.array)
        array = resample(
            volume.array, matrix, grid.shape, order=order, fill=float("nan"), padding=volume.padding, dtype=real
        )
        return replace(volume, array=array, grid=grid, padding=None)
    return _slab(volume, grid, method, order)


def _slab(volume: Volume, grid: Grid, method: str, order: int) -> Volume:
    """What remains of the samples of a grid along its k: one slice in their middle, as thick as they are."""
    matrix = volume.grid.matrix_from(grid)
    fill, padding = _nothing(volume)
    picture = project_slab(
        volume.array, matrix, grid.shape, method=method, order=order, fill=fill, padding=volume.padding
    )
    affine = grid.affine.copy()
    affine[:3, 3] = grid.to_world((0, 0, (grid.shape[0] - 1) / 2))
    affine[:3, 2] *= grid.shape[0]
    xp = array_namespace(picture)
    image = volume.with_array(xp.expand_dims(picture, axis=0), grid=Grid((1, grid.shape[1], grid.shape[2]), affine))
    return image if padding == image.padding else replace(image, padding=padding)


# --- stacks -----------------------------------------------------------------------------------------------------------


def named_stack(volume: Volume, plane: str, spacing: float | None, depth: float, method: str, order: int) -> Volume:
    """All planes of that name, `spacing` mm apart (None: as the voxels are), or slabs of `depth` mm around them."""
    view = view_of(plane)
    if not is_aligned(volume.grid):
        return sampled_stack(volume, view, spacing, depth, method, order)
    turned, axes, flips = volume.grid.reoriented(PLANES[plane])
    step, count = turned.spacing[2], turned.shape[0]
    every = 1.0 if spacing is None else spacing / step
    if every < 1 - 1e-3 or abs(every - round(every)) > 1e-3:
        assert spacing is not None
        return _resampled(volume, turned, spacing, depth, method, order)
    every_ = round(every)
    first = (count - 1) % every_ // 2
    affine = turned.affine.copy()
    affine[:3, 3] = turned.to_world((0, 0, first))
    affine[:3, 2] *= every_
    chosen = range(first, count, every_)
    grid = Grid((len(chosen), turned.shape[1], turned.shape[2]), affine)
    if depth == 0.0:
        xp = array_namespace(volume.array)
        array = xp.permute_dims(volume.array, axes)
        turn = tuple(a for a in range(3) if flips[a])
        array = xp.flip(array, axis=turn) if turn else array
        return volume.with_array(array[first::every_], grid=grid)
    middle = ((turned.shape[2] - 1) / 2, (turned.shape[1] - 1) / 2)
    images = [_indexed(volume, PLANES[plane], turned.to_world((*middle, k)), depth, method) for k in chosen]
    return _piled(volume, images, grid)


def sampled_stack(volume: Volume, view: View, spacing: float | None, depth: float, method: str, order: int) -> Volume:
    """As `named_stack` for any direction: square pixels, planes over the whole extent of the volume."""
    return _resampled(volume, view_grid(volume.grid, view, (0, 0, 0), thickness=None), spacing, depth, method, order)


def _resampled(volume: Volume, over: Grid, spacing: float | None, depth: float, method: str, order: int) -> Volume:
    """Return planes or slabs across the k of a grid that spans all of the volume, with its rows and columns."""
    nk, nj, ni = over.shape
    step = over.spacing[2]
    apart = step if spacing is None else spacing
    count = max(1, int(np.floor(nk * step / apart + 1e-6)))
    if count * nj * ni > _MOST_VOXELS:
        raise TooLargeError(
            f"a stack of {count} planes of {nj} x {ni} pixels is too large", fix="choose a larger spacing"
        )
    away = over.direction[:, 2]
    affine = over.affine.copy()
    affine[:3, 3] = over.to_world((0, 0, (nk - 1) / 2)) - away * (count - 1) / 2 * apart
    affine[:3, 2] = away * apart
    grid = Grid((count, nj, ni), affine)
    if depth == 0.0:
        array = resample(
            volume.array, volume.grid.matrix_from(grid), grid.shape, order=order, fill=float("nan"),
            padding=volume.padding, dtype=real_type(volume.array),
        )  # fmt: skip
        return replace(volume, array=array, grid=grid, padding=None)
    samples = max(1, int(np.ceil(depth / min(step, *over.spacing[:2]) - 1e-6)))
    images = []
    for k in range(count):
        local = affine.copy()
        local[:3, 3] = grid.to_world((0, 0, k)) - away * (samples - 1) / 2 * depth / samples
        local[:3, 2] = away * depth / samples
        images.append(_slab(volume, Grid((samples, nj, ni), local), method, order))
    return _piled(volume, images, grid)


def _piled(volume: Volume, images: list[Volume], grid: Grid) -> Volume:
    xp = array_namespace(volume.array)
    return replace(images[0], array=xp.concat([one.array for one in images], axis=0), grid=grid)


# --- values -----------------------------------------------------------------------------------------------------------


def _nothing(volume: Volume) -> tuple[float, tuple[float, float] | None]:
    """What stands for "no measurement" in a slab of this volume: the value, and the padding that declares it."""
    xp = array_namespace(volume.array)
    if xp.isdtype(volume.array.dtype, "real floating"):
        return float("nan"), volume.padding
    info = xp.iinfo(volume.array.dtype)
    if volume.padding is not None:
        return float(min(max(np.ceil(volume.padding[0]), info.min), info.max)), volume.padding
    if info.min == 0:
        return 0.0, None  # black, which is all that an unsigned picture can say
    return float(info.min), (float(info.min), float(info.min))


def real_type(array: Any) -> str:
    """Return a floating type that holds the values: float32 up to 16 bits."""
    xp = array_namespace(array)
    small = xp.isdtype(array.dtype, "real floating") or xp.iinfo(array.dtype).bits <= 16
    return "float32" if small and array.dtype != getattr(xp, "float64", None) else "float64"
