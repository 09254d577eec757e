"""Volume rendering: emission and absorption along rays, front to back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.device import array_namespace, operation
from gpukit.errors import GeometryError, InputError
from gpukit.ops._arrays import check_padding, device, invalid, real_dtype, signed
from gpukit.ops._interpolate import interpolate
from gpukit.ops._mapping import check_affine, check_shape
from gpukit.ops.sample import check_sample

__all__ = ["raycast"]

Matrix = NDArray[np.float64]


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
    opaque: float


def rays_of(matrix: ArrayLike, shape: tuple[int, ...], affine: ArrayLike, eye: Sequence[float] | None) -> Rays:
    """The rays of a grid; GeometryError where they do not make sense."""
    m = check_affine(matrix, shape)
    metric = np.asarray(affine, dtype=np.float64)
    if metric.shape not in ((3, 3), (4, 4)) or not np.isfinite(metric).all():
        raise GeometryError("the volume's affine must be a finite 3 x 3 or 4 x 4 matrix", attribute="affine")
    metric = metric[:3, :3]
    if abs(np.linalg.det(metric)) < 1e-12:
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


def look_of(
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None,
    opaque: float,
) -> Look:
    """The tables checked and joined; InputError for what cannot be drawn."""
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
    if not low < high:
        raise InputError(f"a window must be (low, high), not ({low:g}, {high:g})", attribute="window")
    light = None
    if shading is not None:
        light = tuple(float(v) for v in shading)
        if len(light) != 4 or not np.isfinite(light).all() or min(light) < 0:
            raise InputError(
                "shading is (ambient, diffuse, specular, shininess), none of them negative", attribute="shading"
            )
    if not 0.0 < opaque <= 1.0:
        raise InputError(f"opaque must lie above 0 and at most at 1, not {opaque:g}", attribute="opaque")
    table = np.ascontiguousarray(np.column_stack([rgb, mu]))
    scale = (len(rgb) - 1) / (high - low)
    return Look(table, low, scale, None if light is None else (light[0], light[1], light[2], light[3]), float(opaque))


@operation(tolerance=1e-6)
def raycast(
    data: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    affine: ArrayLike,
    colors: ArrayLike,
    opacities: ArrayLike,
    window: Sequence[float],
    shading: Sequence[float] | None = None,
    eye: Sequence[float] | None = None,
    opaque: float = 0.999,
    padding: Sequence[float] | None = None,
) -> Any:
    """Picture of a volume as a coloured, partly transparent body.

    Parameters
    ----------
    data : array, (nk, nj, ni)
        The volume; its type decides the backend.
    matrix : array_like, (4, 4)
        Maps the picture's index (i, j, k, 1) to the input index: i is the column, j the row, k the sample along the
        ray, counted away from the viewer.
    shape : sequence of int
        (nk, nj, ni): nk samples along each of nj x ni rays.
    affine : array_like, (4, 4) or (3, 3)
        The volume's affine, index to mm: lengths along rays and directions of light are measured with it.
    colors : array_like, (n, 3)
        Red, green and blue, 0 to 1, at n values equally spaced over `window`; in between they are interpolated, beyond
        it the outermost ones hold.
    opacities : array_like, (n,)
        Extinction per mm at the same values, so that the picture does not depend on the distance of samples.
    window : (float, float)
        Values of the first and of the last table entry.
    shading : (ambient, diffuse, specular, shininess), optional
        Light from the viewer on both sides of a surface, after Phong; the normal is the gradient in mm. None draws the
        colours as they are.
    eye : (float, float, float), optional
        Where all rays meet, in front of the picture, as input index (i, j, k): perspective. The slice k = 0 of `matrix`
        is then the picture plane, and the central ray keeps the step of `matrix`. None is for parallel rays.
    opaque : float
        A ray ends once its opacity has reached this.
    padding : (float, float), optional
        Voxels with values in this closed interval are no measurement and are not drawn; NaN never is.

    Returns
    -------
    array, (nj, ni, 4)
        Red, green, blue (premultiplied) and opacity, float32.

    Raises
    ------
    InputError
        A table, window or shading that cannot be drawn.
    GeometryError
        A matrix, affine or eye without sensible rays.

    Notes
    -----
    Along a ray, a sample of value v stands for a piece of the ray of length d, which lets ``exp(-mu(v) d)`` of the
    light pass and adds the rest in its colour. A homogeneous body of thickness D has the opacity ``1 - exp(-mu D)``.
    """
    xp = array_namespace(data)
    check_sample(data, 1)
    nk, nj, ni = check_shape(shape)
    rays = rays_of(matrix, (nk, nj, ni), affine, eye)
    look = look_of(colors, opacities, window, shading, opaque)
    bad = invalid(xp, data, check_padding(padding))
    if bad is not None and not bool(xp.any(bad)):
        bad = None
    real, where = real_dtype(xp, data), device(data)
    field = _Field(xp, xp.reshape(signed(xp, data), (-1,)), None if bad is None else xp.reshape(bad, (-1,)), data.shape)
    table = xp.asarray(look.table.tolist(), dtype=real, device=where)
    column = xp.reshape(xp.arange(ni, dtype=real, device=where), (1, ni))
    row = xp.reshape(xp.arange(nj, dtype=real, device=where), (nj, 1))
    start = [
        xp.reshape(float(rays.across[a]) * column + (float(rays.down[a]) * row + float(rays.start[a])), (-1,))
        for a in range(3)
    ]
    if rays.rate:
        step = [(start[a] - float(rays.eye[a])) * rays.rate for a in range(3)]
    else:
        step = [xp.zeros_like(start[a]) + float(rays.step[a]) for a in range(3)]
    view, length = _unit(xp, _apply(rays.metric, step))
    light = xp.ones_like(length)  # what still passes
    rgb = [xp.zeros_like(length) for _ in range(3)]
    for k in range(nk):
        at = [start[a] + float(k) * step[a] for a in range(3)]
        value, ok = field.at(at)
        ok = ok & (1.0 - light < look.opaque)
        mu, color = _looked_up(xp, table, look, value)
        mu = xp.where(ok, mu, xp.zeros_like(mu))
        if look.shading is not None and bool(xp.any(mu > 0.0)):
            color = _shaded(xp, color, look.shading, field.facing(at, value, view, rays.dual))
        passing = xp.exp(-mu * length)
        gain = light * (1.0 - passing)
        rgb = [c + gain * new for c, new in zip(rgb, color, strict=True)]
        light = light * passing
    picture = xp.stack([*rgb, 1.0 - light], axis=-1)
    return xp.astype(xp.reshape(picture, (nj, ni, 4)), xp.float32)


@dataclass(frozen=True)
class _Field:
    """The volume as a function of position."""

    xp: Any
    flat: Any
    bad: Any | None
    shape: tuple[int, int, int]

    def at(self, p: list[Any]) -> tuple[Any, Any]:
        return interpolate(self.xp, self.flat, self.bad, self.shape, p[0], p[1], p[2], order=1)

    def facing(self, p: list[Any], value: Any, view: list[Any], dual: Matrix) -> Any:
        """Cosine between gradient and view, 0 to 1; 1 where the field is flat."""
        gradient = []
        for axis in range(3):
            ends = []
            last = float(self.shape[2 - axis] - 1)
            for side in (1.0, -1.0):
                q = list(p)
                q[axis] = self.xp.clip(q[axis] + side, 0.0, last)
                found, ok = self.at(q)
                ends.append(self.xp.where(ok, found, value))
            gradient.append((ends[0] - ends[1]) * 0.5)
        normal, size = _unit(self.xp, _apply(dual, gradient))
        cosine = self.xp.abs(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2])
        return self.xp.where(size > 0.0, cosine, self.xp.ones_like(cosine))


def _apply(matrix: Matrix, vector: list[Any]) -> list[Any]:
    return [
        (float(r[0]) * vector[0] + float(r[1]) * vector[1]) + float(r[2]) * vector[2] for r in matrix
    ]  # this order, as in the kernels


def _unit(xp: Any, v: list[Any]) -> tuple[list[Any], Any]:
    size = xp.sqrt((v[0] * v[0] + v[1] * v[1]) + v[2] * v[2])
    safe = xp.where(size > 0.0, size, xp.ones_like(size))
    return [c / safe for c in v], size


def _looked_up(xp: Any, table: Any, look: Look, value: Any) -> tuple[Any, list[Any]]:
    """Extinction per mm and colour of values."""
    n = int(table.shape[0])
    value = xp.where(xp.isnan(value), xp.zeros_like(value), value)
    t = xp.clip((value - look.low) * look.scale, 0.0, float(n - 1))
    low = xp.clip(xp.floor(t), 0.0, float(n - 2))
    f = t - low
    a = xp.astype(low, xp.int64)
    first, second = xp.take(table, a, axis=0), xp.take(table, a + 1, axis=0)
    columns = [first[:, c] + f * (second[:, c] - first[:, c]) for c in range(4)]
    return columns[3], columns[:3]


def _shaded(xp: Any, color: list[Any], shading: tuple[float, float, float, float], facing: Any) -> list[Any]:
    ambient, diffuse, specular, shininess = shading
    dull = ambient + diffuse * facing
    shine = specular * facing**shininess
    return [xp.clip(c * dull + shine, 0.0, 1.0) for c in color]
