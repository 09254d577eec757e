"""Centrelines made smooth and walked at equal steps, with a frame that does not twist."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.errors import InputError, TooLargeError

__all__ = ["check_course", "frames_along", "smoothed", "unrolled", "walk"]

Points = NDArray[np.float64]

_MOST_STEPS = 100_000
_FINE = 64  # pieces that each span of the spline is measured in


def walk(points: ArrayLike, step: float) -> Points:
    """Return points at equal distances along the smooth curve through `points`.

    The curve is a natural cubic spline with centripetal knots, the square roots of the lengths of the chords (Lee:
    Choosing nodes in parametric curve interpolation, CAD 21, 1989): two points that nearly coincide do not make a loop,
    as they do with the lengths themselves. It is measured along fine chords.

    Parameters
    ----------
    points : array_like, (n, 3)
        mm; neighbours that coincide (within a millionth of the step) count once.
    step : float
        mm between the points returned, changed by less than a step's share so that both ends are met.

    Raises
    ------
    InputError
        Fewer than two different points.
    TooLargeError
        The curve is too long for such steps.
    """
    p = np.asarray(points, dtype=np.float64)
    p = p[np.concatenate([[True], np.linalg.norm(np.diff(p, axis=0), axis=1) > 1e-6 * step])]
    if len(p) < 2:
        raise InputError("a centreline needs two different points", attribute="centerline")
    t = np.concatenate([[0.0], np.cumsum(np.sqrt(np.linalg.norm(np.diff(p, axis=0), axis=1)))])
    fine = np.unique(np.concatenate([np.linspace(a, b, _FINE + 1) for a, b in pairwise(t)]))
    curve = _spline(t, p, fine)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    count = max(2, round(float(length[-1]) / step) + 1)
    if count > _MOST_STEPS:
        raise TooLargeError(f"the centreline is {length[-1]:.0f} mm long, too long for steps of {step:g} mm")
    at = np.interp(np.linspace(0.0, length[-1], count), length, fine)
    return _spline(t, p, at)


def check_course(curve: Points) -> Points:
    """Return the curve itself, if it has a direction everywhere.

    Parameters
    ----------
    curve : array, (n, 3)
        From `walk`.

    Raises
    ------
    InputError
        It doubles back: it turns by more than 120 degrees within a step.
    """
    chords = np.diff(curve, axis=0)
    sizes = np.linalg.norm(chords, axis=1)
    step = float(np.median(sizes))
    cosines = (chords[1:] * chords[:-1]).sum(axis=1) / np.maximum(sizes[1:] * sizes[:-1], 1e-30 * step * step)
    back = (cosines < -0.5) | (np.minimum(sizes[1:], sizes[:-1]) < 0.1 * step)
    if back.any():
        n = int(back.argmax()) + 1
        along, place = float(sizes[:n].sum()), ",".join(f"{v:.4g}" for v in curve[n])
        raise InputError(
            f"the centreline doubles back after {along:.4g} mm, at {place} (LPS mm), where it has no direction",
            attribute="centerline", fix="put its points in order and leave out those that go back",
        )  # fmt: skip
    return curve


def smoothed(curve: Points, sigma: float) -> Points:
    """Return a curve of equally distant points, averaged along itself with a Gaussian; its ends stay where they are.

    Parameters
    ----------
    curve : array, (n, 3)
        From `walk`.
    sigma : float
        mm along the curve. A wave of length w keeps ``exp(-2 (pi sigma / w) ** 2)`` of its height; an arc of radius r
        shrinks by ``1 - exp(-sigma ** 2 / (2 r ** 2))``, far from its ends.
    """
    step = float(np.linalg.norm(np.diff(curve, axis=0), axis=1).mean())
    reach = min(int(np.ceil(4 * sigma / step)), len(curve) - 1)
    if not sigma > 0 or reach < 1:
        return curve
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) * step / sigma) ** 2)
    weights /= weights.sum()
    # reflected through its end points, so that a straight end stays straight
    before, after = 2 * curve[0] - curve[reach:0:-1], 2 * curve[-1] - curve[-2 : -reach - 2 : -1]
    long = np.concatenate([before, curve, after])
    averaged = np.stack([np.convolve(long[:, axis], weights, mode="valid") for axis in range(3)], axis=1)
    averaged[0], averaged[-1] = curve[0], curve[-1]
    return averaged


def unrolled(curve: Points, across: Points, step: float) -> tuple[Points, Points, float]:
    """Return a curve seen across one direction, and unrolled: the lines along that direction through it, made flat.

    The surface of all lines along `across` through the curve is a cylinder (not a round one), so it unrolls without
    stretching anything: down the picture is the length of the curve's shadow across that direction, to the right is the
    place along it (the stretched reformation of Kanitsar et al., CPR - curved planar reformation, IEEE Visualization
    2002). Lengths measured along the drawn curve are the curve's own.

    Parameters
    ----------
    curve : array, (n, 3)
        Finely spaced points.
    across : array, (3,)
        Unit vector.
    step : float
        mm between rows, changed by less than a row's share so that both ends are met.

    Returns
    -------
    rows : array, (m, 3)
        A point of the shadow for each row, in the plane through the origin across that direction.
    places : array, (m,)
        Where along `across` the curve passes each row.
    along : float
        mm between rows, along the shadow.

    Raises
    ------
    InputError
        The curve runs along that direction, so that it has no shadow.
    """
    place = curve @ across
    shadow = curve - place[:, None] * across
    down = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(shadow, axis=0), axis=1))])
    if down[-1] < step:
        raise InputError("the centreline runs along the lines of the picture", attribute="angle", fix="turn it")
    count = max(2, round(float(down[-1]) / step) + 1)
    keep = np.concatenate([[True], np.diff(down) > 1e-9 * step])
    at = np.linspace(0.0, down[-1], count)
    rows = np.stack([np.interp(at, down[keep], shadow[keep, axis]) for axis in range(3)], axis=1)
    return rows, np.interp(at, down[keep], place[keep]), float(at[1])


def _spline(t: Points, p: Points, at: Points) -> Points:
    """Natural cubic spline with knots `t` and values `p`, at the parameters `at`."""
    h = np.diff(t)
    slope = np.diff(p, axis=0) / h[:, None]
    bend = np.zeros_like(p)  # second derivatives; zero at the ends
    if len(t) > 2:
        main = 2.0 * (h[:-1] + h[1:])
        right = 6.0 * np.diff(slope, axis=0)
        for n in range(1, len(main)):  # tridiagonal elimination; the matrix is diagonally dominant
            w = h[n] / main[n - 1]
            main[n] -= w * h[n]
            right[n] -= w * right[n - 1]
        bend[-2] = right[-1] / main[-1]
        for n in range(len(main) - 2, -1, -1):
            bend[n + 1] = (right[n] - h[n + 1] * bend[n + 2]) / main[n]
    a = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(h) - 1)
    u, span = (at - t[a])[:, None], h[a][:, None]
    first = slope[a] - span * (2.0 * bend[a] + bend[a + 1]) / 6.0
    return np.asarray(p[a] + u * (first + u * (bend[a] / 2.0 + u * (bend[a + 1] - bend[a]) / (6.0 * span))))


def frames_along(curve: Points, *, angle: float = 0.0) -> tuple[Points, Points]:
    """Return two unit vectors across the curve at each of its points, which turn as little as they can along it.

    Rotation-minimising frames by double reflection (Wang, Juettler, Zheng, Liu: Computation of rotation minimizing
    frames, ACM TOG 27, 2008). At the start the first vector is as close to the patient's left as it can be (to the back
    where the curve runs left), turned by `angle` degrees around the curve.

    Returns
    -------
    across, depth : arrays, (n, 3)
        ``depth`` is across x tangent.
    """
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.empty_like(curve)
    start = np.array([1.0, 0.0, 0.0]) if abs(tangent[0, 0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    start -= (start @ tangent[0]) * tangent[0]
    start /= np.linalg.norm(start)
    turn = np.radians(angle)
    across[0] = np.cos(turn) * start + np.sin(turn) * np.cross(tangent[0], start)
    for n in range(len(curve) - 1):
        v = curve[n + 1] - curve[n]
        c = v @ v
        r = across[n] - (2 / c) * (v @ across[n]) * v
        t = tangent[n] - (2 / c) * (v @ tangent[n]) * v
        v = tangent[n + 1] - t
        c = v @ v
        across[n + 1] = r if c < 1e-24 else r - (2 / c) * (v @ r) * v
    return across, np.cross(across, tangent)
