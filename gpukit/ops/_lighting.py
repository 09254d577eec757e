"""Sample a scene at a place: extinction and colour, over any array library.

The reference of the kernels' gk_light.h.

Positions are lists of three flat arrays of input index, counted i, j, k, in working precision.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.ops._arrays import check_padding, device, invalid, real_dtype, signed
from gpukit.ops._interpolate import inside, interpolate
from gpukit.ops._scene import Labels, Look, Scene, Second

__all__ = ["Body", "Field", "apply", "unit_vectors"]

Matrix = NDArray[np.float64]
Place = list[Any]


def _shape(data: Any) -> tuple[int, int, int]:
    nk, nj, ni = (int(n) for n in data.shape)
    return nk, nj, ni


class Field:
    """A volume as a function of position: the value, and whether there is one."""

    def __init__(self, xp: Any, data: Any, padding: tuple[float, float] | None, real: Any) -> None:
        bad = invalid(xp, data, padding)
        self.xp, self.shape, self.real = xp, _shape(data), real
        self.flat = xp.reshape(signed(xp, data), (-1,))
        self.bad = None if bad is None or not bool(xp.any(bad)) else xp.reshape(bad, (-1,))

    def at(self, p: Place) -> tuple[Any, Any]:
        return interpolate(self.xp, self.flat, self.bad, self.shape, p[0], p[1], p[2], order=1)


class Body:
    """All media of a scene as a function of position."""

    def __init__(
        self, xp: Any, data: Any, scene: Scene, padding: tuple[float, float] | None, labels: Labels | None,
        second: Second | None, *, field: Any = Field,
    ) -> None:  # fmt: skip
        self.xp, self.scene, self.real = xp, scene, real_dtype(xp, data)
        where = device(data)
        self.shape = _shape(data)
        self.field = field(xp, data, padding, self.real)
        self.table = xp.asarray(scene.look.table.tolist(), dtype=self.real, device=where)
        self.second = None
        if scene.second is not None and second is not None:
            self.second = field(xp, second.array, check_padding(second.padding), self.real)
            self.second_table = xp.asarray(scene.second.table.tolist(), dtype=self.real, device=where)
        self.media = None
        if scene.media is not None and labels is not None:
            rows = np.concatenate([scene.media[:, :3] * scene.media[:, 3:4], scene.media[:, 3:]], axis=1)
            rows = np.concatenate([rows, np.repeat(rows[:1], 256 - len(rows), axis=0)])
            self.media = xp.asarray(rows.tolist(), dtype=self.real, device=where)
            self.labels = xp.reshape(labels.array, (-1,))

    def at(self, p: Place, view: Place, going: Any) -> tuple[Any, list[Any]]:
        """Extinction per mm and colour at positions; no extinction where a ray is not `going` any more."""
        xp, scene = self.xp, self.scene
        drawn = going & inside(p[0], p[1], p[2], self.shape)
        for a, b, c, d in scene.planes.tolist():
            drawn = drawn & ((a * p[0] + b * p[1]) + (c * p[2] + d) >= 0.0)
        nothing = xp.zeros_like(p[0])
        keep, own = xp.ones_like(p[0]), nothing
        if self.media is not None:
            *own_colors, own, keep = self.media_at(p, range(5))
            own = xp.where(drawn, own, nothing)
        value, ok = self.field.at(p)
        mu, color = looked_up(xp, self.table, scene.look, value)
        mu = xp.where(drawn & ok, mu * keep, nothing)
        if (scene.look.shading or scene.factors is not None) and bool(xp.any(mu > 0.0)):
            facing, size = self.facing(self.field, p, value, view, scene.rays.dual)
            if scene.factors is not None:
                mu = mu * self.factor(size)
            if scene.look.shading:
                color = shaded(xp, color, scene.look.shading, facing)
        total, sums = mu, [mu * c for c in color]
        if self.second is not None and scene.second is not None:
            mu, color = self.second_at(p, view, drawn, keep, scene.second)
            total, sums = total + mu, [s + mu * c for s, c in zip(sums, color, strict=True)]
        if self.media is not None and bool(xp.any(own > 0.0)):
            safe = xp.where(own > 0.0, own, xp.ones_like(own))
            color = [c / safe for c in own_colors]
            if scene.look.shading:
                color = shaded(xp, color, scene.look.shading, self.media_facing(p, view))
            total, sums = total + own, [s + own * c for s, c in zip(sums, color, strict=True)]
        safe = xp.where(total > 0.0, total, xp.ones_like(total))
        return total, [s / safe for s in sums]

    def second_at(self, p: Place, view: Place, drawn: Any, keep: Any, look: Look) -> tuple[Any, list[Any]]:
        """Return the second volume's extinction and colour at positions of the first."""
        xp = self.xp
        m = self.scene.second_map.tolist()
        q = [(r[0] * p[0] + r[1] * p[1]) + (r[2] * p[2] + r[3]) for r in m[:3]]
        value, ok = self.second.at(q)  # type: ignore[union-attr]
        mu, color = looked_up(xp, self.second_table, look, value)
        mu = xp.where(drawn & ok, mu * keep, xp.zeros_like(mu))
        if look.shading and bool(xp.any(mu > 0.0)):
            facing, _ = self.facing(self.second, q, value, view, self.scene.second_dual)
            color = shaded(xp, color, look.shading, facing)
        return mu, color

    def facing(self, field: Any, p: Place, value: Any, view: Place, dual: Matrix) -> tuple[Any, Any]:
        """Cosine between gradient and view, 0 to 1 (1 where the field is flat), and size of the gradient per mm."""
        gradient = []
        for axis in range(3):
            ends = []
            for q in self.beside(p, axis, field.shape):
                sampled, ok = field.at(q)
                ends.append(self.xp.where(ok, sampled, value))
            gradient.append((ends[0] - ends[1]) * 0.5)
        return self.cosine(gradient, view, dual)

    def media_facing(self, p: Place, view: Place) -> Any:
        """Return the same for the extinction of labels."""
        gradient = []
        for axis in range(3):
            ends = [self.media_at(q, (3,))[0] for q in self.beside(p, axis, self.shape)]
            gradient.append((ends[0] - ends[1]) * 0.5)
        return self.cosine(gradient, view, self.scene.rays.dual)[0]

    def beside(self, p: Place, axis: int, shape: tuple[int, ...]) -> list[Place]:
        """Return positions a voxel further and a voxel back along an axis, within the outermost centres."""
        here = [self.xp.clip(p[a], 0.0, float(shape[2 - a] - 1)) for a in range(3)]
        places = []
        for side in (1.0, -1.0):
            q = list(here)
            q[axis] = self.xp.clip(q[axis] + side, 0.0, float(shape[2 - axis] - 1))
            places.append(q)
        return places

    def cosine(self, gradient: Place, view: Place, dual: Matrix) -> tuple[Any, Any]:
        xp = self.xp
        normal, size = unit_vectors(xp, dual, gradient)
        cosine = xp.abs(normal[0] * view[0] + normal[1] * view[1] + normal[2] * view[2])
        return xp.where(size > 0.0, cosine, xp.ones_like(cosine)), size

    def factor(self, size: Any) -> Any:
        """Gradient opacity of sizes of the gradient."""
        xp, factors = self.xp, self.scene.factors
        assert factors is not None
        entries = xp.asarray(factors.tolist(), dtype=self.real, device=device(size))
        low, f = _place(xp, size, self.scene.factors_low, self.scene.factors_scale, len(factors))
        first = xp.take(entries, low, axis=0)
        return first + f * (xp.take(entries, low + 1, axis=0) - first)

    def media_at(self, p: Place, columns: Any) -> list[Any]:
        """Columns of the label media (colours times extinction, extinction, share kept), blended like values."""
        xp = self.xp
        low, f = [], []
        for axis in range(3):
            n = self.shape[2 - axis]
            x = xp.clip(p[axis], 0.0, float(n - 1))
            cell = xp.clip(xp.floor(x), 0.0, float(max(n - 2, 0)))
            low.append(xp.astype(cell, xp.int64))
            f.append(x - cell)
        nk, nj, ni = self.shape
        step = (1 if ni > 1 else 0, ni if nj > 1 else 0, ni * nj if nk > 1 else 0)
        voxel = (low[2] * nj + low[1]) * ni + low[0]
        sums = [xp.zeros_like(f[0]) for _ in columns]
        for corner in range(8):
            side = corner & 1, (corner >> 1) & 1, corner >> 2
            weight = 1.0
            for axis in (2, 1, 0):
                weight = weight * (f[axis] if side[axis] else 1.0 - f[axis])
            at = voxel + sum(s * n for s, n in zip(side, step, strict=True))
            rows = xp.take(self.media, xp.astype(xp.take(self.labels, at, axis=0), xp.int64), axis=0)
            sums = [s + weight * rows[:, c] for s, c in zip(sums, columns, strict=True)]
        return sums


def apply(matrix: Matrix, vector: Place) -> Place:
    """Return a 3 x 3 matrix times a vector."""
    return [
        (float(r[0]) * vector[0] + float(r[1]) * vector[1]) + float(r[2]) * vector[2] for r in matrix
    ]  # this order, as in the kernels


def unit_vectors(xp: Any, matrix: Matrix, vector: Place) -> tuple[Place, Any]:
    """Return a matrix times vectors, as unit vectors (zero ones as they are), and their lengths."""
    v = apply(matrix, vector)
    size = xp.sqrt((v[0] * v[0] + v[1] * v[1]) + v[2] * v[2])
    safe = xp.where(size > 0.0, size, xp.ones_like(size))
    return [c / safe for c in v], size


def _place(xp: Any, value: Any, low: float, scale: float, n: int) -> tuple[Any, Any]:
    """Lower table entry of values, and the weight of the upper one."""
    value = xp.where(xp.isnan(value), xp.zeros_like(value), value)
    t = xp.clip((value - low) * scale, 0.0, float(n - 1))
    cell = xp.clip(xp.floor(t), 0.0, float(n - 2))
    return xp.astype(cell, xp.int64), t - cell


def looked_up(xp: Any, table: Any, look: Look, value: Any) -> tuple[Any, list[Any]]:
    """Extinction per mm and colour of values."""
    low, f = _place(xp, value, look.low, look.scale, int(table.shape[0]))
    first, second = xp.take(table, low, axis=0), xp.take(table, low + 1, axis=0)
    columns = [first[:, c] + f * (second[:, c] - first[:, c]) for c in range(4)]
    return columns[3], columns[:3]


def shaded(xp: Any, color: list[Any], shading: tuple[float, float, float, float], facing: Any) -> list[Any]:
    """Return colours in the light, after Phong."""
    ambient, diffuse, specular, shininess = shading
    dull = ambient + diffuse * facing
    shine = specular * facing**shininess
    return [xp.clip(c * dull + shine, 0.0, 1.0) for c in color]
