"""The label that wins at each voxel of another grid, where scores of classes are interpolated between voxels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from gpukit.device import array_namespace
from gpukit.dispatch import operation
from gpukit.errors import GeometryError, InputError
from gpukit.ops._arrays import device, real_dtype
from gpukit.ops._mapping import EDGE, Matrix, check_shape

__all__ = ["ACTIVATIONS", "TIE", "Contest", "check_contest", "interpolated_labels"]

#: Interpolated quantities: scores as they are, their softmax, their sigmoid, or scores of which the last above 0 wins.
ACTIVATIONS = ("none", "softmax", "sigmoid", "regions")
#: Along an axis where the nearest plane counts: voxels by which a half may fall short of a half.
TIE = 1e-4
#: Voxels of the result that the reference works on at a time.
CHUNK = 1 << 21


@dataclass(frozen=True)
class Contest:
    """Checked arguments; what has three members is in the order of array axes (k, j, i).

    Parameters
    ----------
    matrix : (4, 4) float64
        From the output's index (i, j, k, 1) to the input's.
    shape, start : tuple of int
        Of the result, and its first voxel in the whole output.
    low, high : tuple of float
        Positions along the input's axes at which voxels get a label.
    open : tuple of bool
        Whether `high` itself is left to the next planes.
    first : tuple of int
        Number of the first plane that the scores have along each axis.
    wide : bool
        Whether values need more than a byte.
    """

    matrix: Matrix
    shape: tuple[int, ...]
    start: tuple[int, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]
    open: tuple[bool, ...]
    first: tuple[int, ...]
    wide: bool


def check_contest(
    scores: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    labels: Sequence[int],
    activation: str,
    weights: Any | None,
    start: Sequence[int],
    planes: Sequence[Any] | None,
    nearest: int | None,
    reach: Sequence[Sequence[float]] | None = None,
) -> Contest:
    """Return the arguments of `interpolated_labels`, checked.

    Raises
    ------
    InputError, GeometryError
        One is out of its domain.
    """
    if scores.ndim != 4 or 0 in scores.shape:
        raise InputError(f"scores must have the shape (classes, nk, nj, ni), not {tuple(scores.shape)}")
    if activation not in ACTIVATIONS:
        raise InputError(f"activation must be one of {', '.join(ACTIVATIONS)}", attribute="activation")
    if len(labels) != scores.shape[0] or not all(0 <= value < 2**31 for value in labels):
        raise InputError(f"{scores.shape[0]} classes need as many labels of at least 0", attribute="labels")
    if weights is not None and tuple(weights.shape) != tuple(scores.shape[1:]):
        raise InputError(f"weights of shape {tuple(weights.shape)} for scores of {tuple(scores.shape)}")
    m = np.array(matrix, dtype=np.float64)
    if m.shape != (4, 4) or not np.isfinite(m).all() or not np.allclose(m[3], (0, 0, 0, 1), atol=1e-12):
        raise GeometryError(
            "the map between two grids must be a finite 4 x 4 matrix whose last row is 0 0 0 1", attribute="matrix"
        )
    if nearest not in (None, 0, 1, 2):
        raise InputError(f"nearest is an axis, 0 to 2, not {nearest}", attribute="nearest")
    size = [int(n) for n in scores.shape[1:]]
    beyond = np.full((3, 2), 0.5) if reach is None else np.array(reach, dtype=np.float64)
    if beyond.shape != (3, 2) or not np.isfinite(beyond).all() or (beyond < 0).any():
        raise InputError("reach has two numbers of at least 0 for each of the three axes", attribute="reach")
    low = [-float(before) - EDGE for before in beyond[:, 0]]
    high = [n - 1 + float(after) + EDGE for n, after in zip(size, beyond[:, 1], strict=True)]
    ends, first = [False] * 3, [0] * 3
    boxes = [] if planes is None else [planes] if len(planes) == 3 and isinstance(planes[0], int) else planes
    for axis, begin, count in boxes:
        if axis not in (0, 1, 2) or begin < 0 or begin + size[axis] > count:
            raise InputError(f"planes {planes} do not go with scores of shape {tuple(scores.shape)}")
        last = begin + size[axis] - 1
        first[axis] = begin
        if begin > 0:
            low[axis] = float(begin)
        ends[axis] = last < count - 1
        high[axis] = float(last) if ends[axis] else count - 1 + float(beyond[axis, 1]) + EDGE
    return Contest(
        m, check_shape(shape), tuple(int(n) for n in start), tuple(low), tuple(high), tuple(ends), tuple(first),
        max(labels) > 255,
    )  # fmt: skip


@operation(tolerance=0.0)
def interpolated_labels(
    scores: Any,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    labels: Sequence[int],
    activation: str = "none",
    weights: Any | None = None,
    start: Sequence[int] = (0, 0, 0),
    planes: tuple[int, int, int] | Sequence[tuple[int, int, int]] | None = None,
    nearest: int | None = None,
    reach: Sequence[Sequence[float]] | None = None,
) -> Any:
    """Return the label that wins at each voxel of another grid, where scores of classes are interpolated linearly.

    What the scores become between voxels is never held for more than a few voxels.

    Parameters
    ----------
    scores : array, (classes, nk, nj, ni)
        Finite real numbers; their type decides the backend.
    matrix : array_like, (4, 4)
        Maps the *output* index (i, j, k, 1) to the *input* index. Affine.
    shape : sequence of int
        Shape (nk, nj, ni) of the result.
    labels : sequence of int
        Value of each class.
    activation : str
        ``none``, ``softmax`` or ``sigmoid``: what of the scores is interpolated; the largest wins, of equal ones the
        first, and with ``sigmoid`` there is background (0) where it is below one half. ``regions``: scores are
        interpolated, the last that is above 0 wins, and there is background where none is.
    weights : array, (nk, nj, ni), optional
        Scores are sums that have to be divided by these. Where they are 0 nothing was summed, and the first class is
        certain (``none``, ``softmax``) or none is.
    start : sequence of int
        Number (k, j, i) of the result's first voxel on the whole output grid, where only a part of it is wanted.
    planes : (int, int, int) or sequence of these, optional
        ``(axis, first, count)``: along this array axis the scores are those from plane `first` on of a whole of `count`
        planes. Only voxels between the planes that are given get a label, and on the last of them only where it is the
        whole's last: so parts that share a plane make up the whole, each voxel being labelled by one of them. Of parts
        along several axes there is one such for each.
    nearest : int, optional
        Array axis of the scores along which the nearest plane counts, and of two as near the later.
    reach : sequence of (float, float), optional
        For each array axis the distance, in voxels of the scores, before the first centre and behind the last centre
        of the whole at which voxels still get the label of the outermost plane. 0.5 by default: the outer faces.

    Returns
    -------
    array, `shape`
        uint8, or int32 where a label is above 255; 0 outside of the scores' grid, of which `reach` beyond the
        outermost centres is a part. On the device of `scores`.

    Raises
    ------
    InputError
        An argument is out of its domain.
    GeometryError
        The matrix is not affine or not finite.

    Notes
    -----
    Interpolated values are rounded to float32, as images of scores are, before they are compared. Weights of linear
    interpolation are not negative and have the sum one, so where one class wins at all corners of a cell it wins
    everywhere in it.
    """
    xp = array_namespace(scores)
    job = check_contest(scores, matrix, shape, labels, activation, weights, start, planes, nearest, reach)
    field = _Field(xp, scores, weights, activation)
    kind = xp.int32 if job.wide else xp.uint8
    # background comes last, where -1 finds it
    table = xp.asarray([*labels, 0], dtype=kind, device=device(scores))
    out = xp.zeros(job.shape, dtype=kind, device=device(scores))
    nk, nj, ni = job.shape
    rows = max(1, CHUNK // ni)
    for k in range(0, nk, max(1, rows // nj)):
        stop = min(nk, k + max(1, rows // nj))
        for j in range(0, nj, rows):
            part = (slice(k, stop), slice(j, min(nj, j + rows)))
            winner, inside = _part(xp, field, job, part, nearest)
            winners = xp.take(table, xp.reshape(xp.where(winner < 0, len(labels), winner), (-1,)))
            winners = xp.reshape(winners, inside.shape)
            out[part[0], part[1], :] = xp.where(inside, winners, xp.zeros_like(winners))
    return out


class _Field:
    """Scores of classes at voxels, by the voxels' numbers; one class at a time is flat in memory."""

    def __init__(self, xp: Any, scores: Any, weights: Any | None, activation: str) -> None:
        self.xp, self.scores, self.activation = xp, scores, activation
        self.real = real_dtype(xp, scores)
        self.size = tuple(int(n) for n in scores.shape[1:])
        self.weights = None if weights is None else xp.astype(xp.reshape(weights, (-1,)), self.real)
        self.idle = None if self.weights is None else self.weights == 0
        self.one_of_all = activation in ("none", "softmax")
        self.first, top = self._ahead()
        self.sums: Any = None
        if activation == "softmax":
            self.top = top
            self.sums = xp.zeros_like(top)
            for c in range(scores.shape[0]):
                self.sums = self.sums + xp.exp(self._raw(c) - top)

    def _raw(self, c: int) -> Any:
        flat = self.xp.astype(self.xp.reshape(self.scores[c, ...], (-1,)), self.real)
        if self.weights is None or self.idle is None:
            return flat
        return self.xp.where(self.idle, self.xp.zeros_like(flat), flat / self.xp.where(self.idle, 1.0, self.weights))

    def _ahead(self) -> tuple[Any, Any]:
        """Return the class that wins at each voxel, -1 for background, and its score."""
        xp = self.xp
        top = self._raw(0)
        first = xp.zeros(top.shape, dtype=xp.int32, device=device(self.scores))
        none = xp.full(top.shape, -1, dtype=xp.int32, device=device(self.scores))
        if self.activation == "regions":
            first = xp.where(top > 0, first, none)
        for c in range(1, self.scores.shape[0]):
            value = self._raw(c)
            better = value > (0 if self.activation == "regions" else top)
            first = xp.where(better, xp.full(top.shape, c, dtype=xp.int32, device=device(self.scores)), first)
            top = xp.where(better, value, top)
        if self.activation == "sigmoid":
            first = xp.where(top < 0, none, first)
        if self.idle is not None and not self.one_of_all:
            first = xp.where(self.idle, none, first)
        return first, top

    def values(self, c: int) -> Any:
        """Return the interpolated quantity of class `c`, at all voxels."""
        xp = self.xp
        value = self._raw(c)
        if self.activation == "softmax":
            value = xp.exp(value - self.top) / self.sums
        elif self.activation == "sigmoid":
            small = xp.exp(-xp.abs(value))
            value = xp.where(value < 0, small, xp.ones_like(small)) / (1 + small)
        if self.idle is not None:
            certain = 1.0 if c == 0 and self.one_of_all else 0.0
            value = xp.where(self.idle, xp.full(value.shape, certain, dtype=self.real, device=device(value)), value)
        return value


def _part(xp: Any, field: _Field, job: Contest, part: tuple[slice, slice], nearest: int | None) -> tuple[Any, Any]:
    """Winning classes of some rows of the result (-1 for background), and which voxels get a label."""
    where = device(field.scores)

    def numbers(begin: int, end: int, axis: int) -> Any:
        line = xp.astype(xp.arange(begin, end, device=where), field.real) + float(job.start[axis])
        return xp.reshape(line, tuple(-1 if n == axis else 1 for n in range(3)))

    k, j = (numbers(s.start, s.stop, axis) for axis, s in enumerate(part))
    i = numbers(0, job.shape[2], 2)
    shape = (part[0].stop - part[0].start, part[1].stop - part[1].start, job.shape[2])
    inside = xp.ones(shape, dtype=xp.bool, device=where)
    ends: list[tuple[Any, Any]] = []
    shares: list[Any] = []
    for axis, size in enumerate(field.size):
        a, b, c, d = (float(x) for x in job.matrix[2 - axis])
        y = xp.broadcast_to(a * i + ((b * j + c * k) + d), shape)
        inside = inside & (y >= job.low[axis]) & ((y < job.high[axis]) if job.open[axis] else (y <= job.high[axis]))
        y = xp.clip(y - float(job.first[axis]), 0.0, float(size - 1))
        low = xp.astype(xp.floor(y + (0.5 + TIE) if axis == nearest else y), xp.int64)
        step = 1 if size > 1 and axis != nearest else 0
        low = xp.clip(low, 0, size - 1 - step)
        ends.append((low, low + step))
        shares.append(xp.zeros_like(y) if axis == nearest else y - xp.astype(low, field.real))
    corners = [(a, b, c) for a in (0, 1) for b in (0, 1) for c in (0, 1)]

    def place(corner: tuple[int, int, int], chosen: Any | None = None) -> Any:
        at = (ends[0][corner[0]] * field.size[1] + ends[1][corner[1]]) * field.size[2] + ends[2][corner[2]]
        return xp.reshape(at, (-1,)) if chosen is None else xp.take(xp.reshape(at, (-1,)), chosen)

    winner = xp.take(field.first, place((0, 0, 0)))
    mixed = xp.zeros(winner.shape, dtype=xp.bool, device=where)
    for corner in corners[1:]:
        mixed = mixed | (xp.take(field.first, place(corner)) != winner)
    mixed = mixed & xp.reshape(inside, (-1,))
    chosen = xp.nonzero(mixed)[0]
    if chosen.shape[0]:
        spots = [place(corner, chosen) for corner in corners]
        parts = [xp.take(xp.reshape(share, (-1,)), chosen) for share in shares]
        factors = []
        for corner in corners:
            factor = xp.ones_like(parts[0])
            for side, share in zip(corner, parts, strict=True):
                factor = factor * (share if side else 1.0 - share)
            factors.append(factor)
        winner[mixed] = _between(xp, field, spots, factors)
    return xp.reshape(winner, shape), inside


def _between(xp: Any, field: _Field, spots: list[Any], factors: list[Any]) -> Any:
    """Return the winning class between corners, -1 for background."""
    regions = field.activation == "regions"
    best = winner = None
    for c in range(field.scores.shape[0]):
        values = field.values(c)
        total = xp.zeros_like(factors[0])
        for spot, factor in zip(spots, factors, strict=True):
            total = total + factor * xp.take(values, spot)
        total = xp.astype(total, xp.float32)
        this = xp.full(total.shape, c, dtype=xp.int32, device=device(total))
        if best is None or winner is None:
            best = xp.zeros_like(total) if regions else total
            winner = xp.where(total > 0, this, -xp.ones_like(this)) if regions else this
            continue
        better = total > best
        winner = xp.where(better, this, winner)
        best = best if regions else xp.where(better, total, best)
    assert best is not None and winner is not None
    return xp.where(best < 0.5, -xp.ones_like(winner), winner) if field.activation == "sigmoid" else winner
