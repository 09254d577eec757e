"""Figures of graphics as lines through points: circles, ellipses and curves of presentation states and reports."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["outline"]

_SIDES = 120
_BETWEEN = 8


def outline(kind: str, points: Any) -> NDArray[np.float64]:
    """Points of a line.

    Parameters
    ----------
    kind : str
        CIRCLE (centre, point on it), ELLIPSE (two ends of one axis, two of the other), INTERPOLATED (a smooth curve
        through the points); any other kind is its points.
    points : array ``[n, 2]``
        In any unit.

    Returns
    -------
    array ``[m, 2]``
    """
    corners: NDArray[np.float64] = np.asarray(points, np.float64)
    turns = np.linspace(0.0, 2.0 * np.pi, _SIDES + 1)[:, None]
    if kind == "CIRCLE":
        radius = float(np.linalg.norm(corners[1] - corners[0]))
        return np.asarray(corners[0] + radius * np.hstack([np.cos(turns), np.sin(turns)]))
    if kind == "ELLIPSE":
        middle = corners[:4].mean(axis=0)
        first, second = (corners[1] - corners[0]) / 2, (corners[3] - corners[2]) / 2
        return np.asarray(middle + np.cos(turns) * first + np.sin(turns) * second)
    if kind == "INTERPOLATED" and len(corners) > 2:
        return _curve(corners)
    return corners


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """A Catmull-Rom spline: it goes through the points, and its direction at each is that of its neighbours."""
    closed = bool(np.allclose(points[0], points[-1]))
    ends = (points[-2:-1], points[1:2]) if closed else (points[:1], points[-1:])
    padded = np.concatenate([ends[0], points, ends[1]])
    t = np.linspace(0.0, 1.0, _BETWEEN, endpoint=False)[:, None]
    pieces = []
    for n in range(1, len(padded) - 2):
        a, b, c, d = padded[n - 1 : n + 3]
        pieces.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.concatenate([*pieces, points[-1:]])
