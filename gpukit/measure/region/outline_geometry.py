"""Plane geometry of outlines: do they cross themselves, how long is an ellipse."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

__all__ = ["crossing", "ellipse_perimeter"]

Point2 = tuple[float, float]


def crossing(points: Sequence[Point2]) -> tuple[int, int] | None:
    """Return the first two sides of a closed polygon that meet where they should not, or None.

    Sides are numbered by their first point. Neighbours may meet in their common point only (a side that folds back over
    its neighbour counts), others not at all. Decided exactly, by the sign of rational determinants where rounding could
    matter.

    Parameters
    ----------
    points : sequence of (x, y)
        Finite, three or more, no two successive ones equal.
    """
    count = len(points)
    sides = [(points[n], points[(n + 1) % count]) for n in range(count)]
    boxes = [(min(a[0], b[0]), max(a[0], b[0]), min(a[1], b[1]), max(a[1], b[1])) for a, b in sides]
    order = sorted(range(count), key=lambda n: boxes[n][0])
    active: list[int] = []
    for n in order:  # sweep over x: only sides whose boxes overlap are compared
        x_low, _, low, high = boxes[n]
        active = [m for m in active if boxes[m][1] >= x_low]
        near = (m for m in active if boxes[m][2] <= high and boxes[m][3] >= low)
        pairs = [(min(m, n), max(m, n)) for m in near if _meet(sides, m, n, count)]
        if pairs:
            return min(pairs)
        active.append(n)
    return None


def _meet(sides: Sequence[tuple[Point2, Point2]], m: int, n: int, count: int) -> bool:
    first, second = min(m, n), max(m, n)
    (a, b), (c, d) = sides[first], sides[second]
    if second == first + 1:
        return _folds(a, b, d)
    if first == 0 and second == count - 1:
        return _folds(c, d, b)
    return _segments_meet(a, b, c, d)


def _folds(a: Point2, b: Point2, c: Point2) -> bool:
    """Return whether the side b-c runs back over the side a-b."""
    if _turn(a, b, c) != 0:
        return False
    (ux, uy), (vx, vy) = (_exact(b, a), _exact(c, b))
    return ux * vx + uy * vy < 0


def _exact(p: Point2, q: Point2) -> tuple[Fraction, Fraction]:
    return Fraction(p[0]) - Fraction(q[0]), Fraction(p[1]) - Fraction(q[1])


def _segments_meet(a: Point2, b: Point2, c: Point2, d: Point2) -> bool:
    abc, abd, cda, cdb = _turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b)
    if abc * abd < 0 and cda * cdb < 0:
        return True
    return (
        (abc == 0 and _within(a, b, c))
        or (abd == 0 and _within(a, b, d))
        or (cda == 0 and _within(c, d, a))
        or (cdb == 0 and _within(c, d, b))
    )


def _within(a: Point2, b: Point2, p: Point2) -> bool:
    """Return whether `p`, on the line through a and b, lies between them."""
    return min(a[0], b[0]) <= p[0] <= max(a[0], b[0]) and min(a[1], b[1]) <= p[1] <= max(a[1], b[1])


def _turn(a: Point2, b: Point2, c: Point2) -> int:
    """Sign of the turn a, b, c: exact where floating point cannot tell."""
    rising, falling = (b[0] - a[0]) * (c[1] - a[1]), (b[1] - a[1]) * (c[0] - a[0])
    value = rising - falling
    if abs(value) > 1e-14 * (abs(rising) + abs(falling)):
        return 1 if value > 0 else -1
    (ux, uy), (vx, vy) = _exact(b, a), _exact(c, a)
    exact = ux * vy - uy * vx
    return (exact > 0) - (exact < 0)


def ellipse_perimeter(a: float, b: float) -> float:
    """Return the length of an ellipse with semi-axes `a` and `b`.

    4 a E(e) with the complete elliptic integral of the second kind, which the arithmetic-geometric mean gives to the
    last digits in a few steps (Abramowitz and Stegun 17.6.3 and 17.6.4).
    """
    a, b = max(a, b), min(a, b)
    if b == 0:
        return 4 * a
    x, y, weight = 1.0, b / a, 0.5
    total = weight * (1 - y * y)  # the sum of 2^(n-1) c_n^2, with c_0^2 = 1 - (b/a)^2
    while abs(x - y) > 1e-15 * x:
        x, y, c = (x + y) / 2, math.sqrt(x * y), (x - y) / 2
        weight *= 2
        total += weight * c * c
    return 2 * math.pi * a * (1 - total) / x
