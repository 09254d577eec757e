"""Checked arguments of a ray caster: rays, looks, planes, labels and a second volume."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.device import array_namespace
from gpukit.errors import GeometryError, InputError
from gpukit.ops._arrays import without_infinite
from gpukit.ops._mapping import check_affine

__all__ = ["Labels", "Look", "Rays", "Scene", "Second", "drawable", "look_of", "rays_of", "scene_of"]

Matrix = NDArray[np.float64]
_MOST_PLANES = 64
_FARTHEST = 1e12  # voxels: float64 then tells positions apart by a thousandth of one


@dataclass(frozen=True, eq=False)
class Rays:
    """The rays of a picture in input index space: where pixel (0, 0) starts, how starts and steps change with i and j.

    The ray of pixel (i, j) is at ``start + i * across + j * down + k * step``; in perspective its step is
    ``rate * (start of the ray - eye)`` instead. Host float64.
    """

    start: Matrix
    across: Matrix
    down: Matrix
    step: Matrix
    eye: Matrix
    rate: float  # 0 for parallel rays
    metric: Matrix  # (3, 3): index vectors to mm
    dual: Matrix  # (3, 3): index gradients to gradients per mm


@dataclass(frozen=True, eq=False)
class Look:
    """What values look like: a table of red, green, blue and extinction per mm over a window, and the shading."""

    table: Matrix  # (n, 4)
    low: float
    scale: float  # table steps per unit of value
    shading: tuple[float, float, float, float] | None


@dataclass(frozen=True, eq=False)
class Labels:
    """A label for each voxel, and what labels do to what is drawn.

    Parameters
    ----------
    array : array of uint8, (nk, nj, ni)
        On the volume's grid and device.
    media : array_like, (n, 5)
        For label 0, 1, 2 ...: red, green, blue, extinction per mm of its own, and the share (0 to 1) of everything else
        that stays. Labels from n on are background, label 0. Between voxels the rows are blended like values.
    """

    array: Any
    media: ArrayLike


@dataclass(frozen=True, eq=False)
class Second:
    """A second volume in the same picture, which is sampled in its own grid.

    Parameters
    ----------
    array : array, (nk, nj, ni)
        On the first volume's device.
    matrix : array_like, (4, 4)
        Maps the first volume's index (i, j, k, 1) to this one's.
    colors, opacities, window, shading, padding
        As for the first.
    """

    array: Any
    matrix: ArrayLike
    colors: ArrayLike
    opacities: ArrayLike
    window: Sequence[float]
    shading: Sequence[float] | None = None
    padding: Sequence[float] | None = None


@dataclass(frozen=True, eq=False)
class Scene:
    """All of a picture, checked. Host float64."""

    rays: Rays
    look: Look
    opaque: float
    planes: Matrix  # (n, 4)
    factors: Matrix | None  # of the extinction by size of the gradient
    factors_low: float
    factors_scale: float
    media: Matrix | None  # (n, 5)
    second: Look | None
    second_map: Matrix  # (4, 4)
    second_dual: Matrix  # (3, 3)


def drawable(data: Any, second: Second | None) -> tuple[Any, Second | None]:
    """Return the volumes with NaN in place of infinite voxels, which are not measurements and are not drawn."""
    if second is not None:
        array = without_infinite(array_namespace(second.array), second.array)
        second = second if array is second.array else replace(second, array=array)
    return without_infinite(array_namespace(data), data), second


def rays_of(matrix: ArrayLike, shape: tuple[int, ...], affine: ArrayLike, eye: Sequence[float] | None) -> Rays:
    """Return the rays of a grid; GeometryError where they do not make sense."""
    m = check_affine(matrix, shape)
    reach = float((np.abs(m[:3]) * np.array([*reversed(shape), 1], dtype=np.float64)).max())
    if reach > _FARTHEST:
        raise GeometryError(
            f"rays that lie {reach:.3g} voxels away do not meet the volume with any precision", attribute="matrix"
        )
    metric = np.asarray(affine, dtype=np.float64)
    if metric.shape not in ((3, 3), (4, 4)) or not np.isfinite(metric).all():
        raise GeometryError("the volume's affine must be a finite 3 x 3 or 4 x 4 matrix", attribute="affine")
    metric = metric[:3, :3]
    if _is_singular(metric):
        raise GeometryError("the volume's affine is singular", attribute="affine")
    start, across, down, step = m[:3, 3], m[:3, 0], m[:3, 1], m[:3, 2]
    length = float(np.linalg.norm(metric @ step))
    if length == 0.0:
        raise GeometryError("rays have no direction: the third column of the matrix is zero", attribute="matrix")
    rate, where = 0.0, np.zeros(3)
    if eye is not None:
        where = np.asarray(eye, dtype=np.float64)
        if where.shape != (3,) or not np.isfinite(where).all():
            raise GeometryError("the eye must be one finite index position (i, j, k)", attribute="eye")
        centre = start + across * (shape[2] - 1) / 2 + down * (shape[1] - 1) / 2
        distance = float(np.linalg.norm(metric @ (centre - where)))
        if distance < 1e-9 * length or float((metric @ (centre - where)) @ (metric @ step)) <= 0.0:
            raise GeometryError("the eye must lie in front of the picture: rays leave it", attribute="eye")
        rate = length / distance
    return Rays(start, across, down, step, where, rate, metric, np.asarray(np.linalg.inv(metric).T, dtype=np.float64))


def _is_singular(matrix: Matrix) -> bool:
    """Return whether two columns are parallel or one is zero, whatever their unit of length."""
    return not abs(np.linalg.det(matrix)) > 1e-12 * float(np.prod(np.linalg.norm(matrix, axis=0)))


def look_of(
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None,
) -> Look:
    """Return the tables checked and joined; InputError for what cannot be drawn."""
    rgb = np.asarray(colors, dtype=np.float64)
    mu = np.asarray(opacities, dtype=np.float64)
    if rgb.ndim != 2 or rgb.shape[1] != 3 or mu.shape != (len(rgb),) or len(rgb) < 2:
        raise InputError(
            f"a transfer function is (n, 3) colours and (n,) opacities with n of at least 2, not {rgb.shape} and "
            f"{mu.shape}",
            attribute="colors",
        )
    if not (np.isfinite(rgb).all() and np.isfinite(mu).all() and (mu >= 0).all()):
        raise InputError("colours must be finite, opacities finite and not negative", attribute="opacities")
    low, high = (float(v) for v in window)
    if not (low < high and math.isfinite(high - low)):
        raise InputError(f"a window must be finite (low, high), not ({low:g}, {high:g})", attribute="window")
    light = None
    if shading is not None:
        light = tuple(float(v) for v in shading)
        if len(light) != 4 or not np.isfinite(light).all() or min(light) < 0:
            raise InputError(
                "shading is (ambient, diffuse, specular, shininess), none of them negative", attribute="shading"
            )
    table = np.ascontiguousarray(np.column_stack([rgb, mu]))
    scale = (len(rgb) - 1) / (high - low)
    return Look(table, low, scale, None if light is None else (light[0], light[1], light[2], light[3]))


def scene_of(
    data: Any,
    matrix: ArrayLike,
    shape: tuple[int, ...],
    *,
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None,
    eye: Sequence[float] | None,
    opaque: float,
    gradient: tuple[ArrayLike, Sequence[float]] | None,
    planes: ArrayLike | None,
    labels: Labels | None,
    second: Second | None,
) -> Scene:
    """Return the arguments of `gpukit.ops.raycast.raycast`, checked and joined."""
    if not 0.0 < opaque <= 1.0:
        raise InputError(f"opaque must lie above 0 and at most at 1, not {opaque:g}", attribute="opaque")
    rays = rays_of(matrix, shape, affine, eye)
    factors, low, scale = _factors(gradient)
    cut = np.zeros((0, 4)) if planes is None else np.asarray(planes, dtype=np.float64)
    if cut.ndim != 2 or cut.shape[1] != 4 or len(cut) > _MOST_PLANES or not np.isfinite(cut).all():
        raise GeometryError(
            f"clipping planes are (n, 4) finite numbers a, b, c, d, at most {_MOST_PLANES} rows", attribute="planes"
        )
    if second is None:
        other, second_map, second_dual = None, np.eye(4), np.eye(3)
    else:
        other = look_of(second.colors, second.opacities, second.window, second.shading)
        second_map, second_dual = _second_geometry(second, rays)
    return Scene(
        rays, look_of(colors, opacities, window, shading), float(opaque), np.ascontiguousarray(cut), factors, low,
        scale, _media(data, labels), other, second_map, second_dual,
    )  # fmt: skip


def _factors(gradient: tuple[ArrayLike, Sequence[float]] | None) -> tuple[Matrix | None, float, float]:
    if gradient is None:
        return None, 0.0, 1.0
    factors = np.ascontiguousarray(gradient[0], dtype=np.float64)
    low, high = (float(v) for v in gradient[1])
    if factors.ndim != 1 or len(factors) < 2 or not (np.isfinite(factors).all() and (factors >= 0).all()):
        raise InputError("gradient opacity is two or more finite factors, none negative", attribute="gradient")
    if not 0.0 <= low < high:
        raise InputError(
            f"a range of gradients must be (low, high) from 0, not ({low:g}, {high:g})", attribute="gradient"
        )
    return factors, low, (len(factors) - 1) / (high - low)


def _media(data: Any, labels: Labels | None) -> Matrix | None:
    if labels is None:
        return None
    media = np.ascontiguousarray(labels.media, dtype=np.float64)
    if media.ndim != 2 or media.shape[1] != 5 or not 1 <= len(media) <= 256:
        raise InputError(f"label media are (n, 5) with n from 1 to 256, not {media.shape}", attribute="labels")
    if not (np.isfinite(media).all() and (media >= 0).all() and (media[:, 4] <= 1).all()):
        raise InputError("label media are finite, not negative, and keep a share of at most 1", attribute="labels")
    if tuple(labels.array.shape) != tuple(data.shape) or labels.array.dtype != array_namespace(labels.array).uint8:
        raise InputError(
            f"labels are uint8 voxels on the volume's grid {tuple(data.shape)}, not {labels.array.dtype} "
            f"{tuple(labels.array.shape)}",
            attribute="labels",
        )
    return media


def _second_geometry(second: Second, rays: Rays) -> tuple[Matrix, Matrix]:
    m = np.asarray(second.matrix, dtype=np.float64)
    if m.shape != (4, 4) or not np.isfinite(m).all() or _is_singular(m[:3, :3]):
        raise GeometryError("the second volume's matrix must be a finite, invertible 4 x 4", attribute="second")
    if len(second.array.shape) != 3 or 0 in second.array.shape:
        raise InputError("the second volume must have three axes and voxels", attribute="second")
    metric = rays.metric @ np.linalg.inv(m[:3, :3])
    return np.ascontiguousarray(m), np.asarray(np.linalg.inv(metric).T, dtype=np.float64)
