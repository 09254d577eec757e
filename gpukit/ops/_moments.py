"""Power sums about the mean, in a form that merges: what a kernel hands over per part, on the host in float64."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import reduce

__all__ = ["Moments", "merged"]


@dataclass(frozen=True, slots=True)
class Moments:
    """Moments of one set of values.

    Parameters
    ----------
    n : int
        How many values.
    mean : float
        Their mean; 0 where there are none.
    m2, m3, m4 : float
        Sums of the second to fourth powers of the differences from the mean.
    total, energy : float
        Sum of the values and of their squares.
    low, high : float
        Smallest and largest; +inf and -inf where there are none.
    """

    n: int = 0
    mean: float = 0.0
    m2: float = 0.0
    m3: float = 0.0
    m4: float = 0.0
    total: float = 0.0
    energy: float = 0.0
    low: float = math.inf
    high: float = -math.inf

    def __add__(self, other: Moments) -> Moments:
        """Return moments of both sets together (P. Pébay, SAND2008-6212, equations 2.1 and 3.1, for two sets)."""
        if self.n == 0 or other.n == 0:
            return other if self.n == 0 else self
        a, b, n = float(self.n), float(other.n), float(self.n + other.n)
        d = other.mean - self.mean
        return Moments(
            n=self.n + other.n,
            mean=self.mean + d * b / n,
            m2=self.m2 + other.m2 + d * d * a * b / n,
            m3=self.m3 + other.m3 + d**3 * a * b * (a - b) / n**2 + 3 * d * (a * other.m2 - b * self.m2) / n,
            m4=self.m4
            + other.m4
            + d**4 * a * b * (a * a - a * b + b * b) / n**3
            + 6 * d * d * (a * a * other.m2 + b * b * self.m2) / n**2
            + 4 * d * (a * other.m3 - b * self.m3) / n,
            total=self.total + other.total,
            energy=self.energy + other.energy,
            low=min(self.low, other.low),
            high=max(self.high, other.high),
        )


def merged(parts: Iterable[Moments]) -> Moments:
    """Return moments of all parts together; the same for any number of threads as long as the parts are the same."""
    return reduce(Moments.__add__, parts, Moments())
