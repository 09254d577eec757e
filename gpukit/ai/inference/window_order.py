"""In which order windows are visited, and where the sums of what several of them see are kept until the last was there.

The padded image is cut along the edges of its windows into cells. All voxels of a cell lie in the same windows (unless
edges are very close together), so its sums are needed from the first of these to the last, and are finished then. How
much is held at once depends on the order of the windows alone. Going row by row, with the axis of the most windows
outermost, leaves little more than the planes that two neighbours share. But the last window of an axis is moved back to
end with the image, so it may share nearly all of its planes with the one before; such two are better visited together,
before the row goes on. The best of these orders is found by counting. So that the memory can be one tensor, each cell
gets a place in it ahead.
"""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["Cell", "Schedule"]

Triple = tuple[int, int, int]
Counts = NDArray[np.int64]

#: Edges that are closer together than a window's side by this make no cells of their own.
_FINEST = 16
#: Orders that are tried, times windows: more is not worth the time.
_TRIES = 2_000_000


@dataclass(frozen=True)
class Cell:
    """A box of voxels whose sums are kept together.

    Parameters
    ----------
    start, stop : tuple of int
        In the padded image.
    first, last : int
        Numbers of the first and the last window that has voxels in it.
    place : int
        Number of the voxel of the kept memory at which it begins.
    """

    start: Triple
    stop: Triple
    first: int
    last: int
    place: int

    @property
    def shape(self) -> Triple:
        """Voxels along each axis."""
        a, b, c = (stop - start for start, stop in zip(self.start, self.stop, strict=True))
        return a, b, c


@dataclass(frozen=True)
class Schedule:
    """Windows in their order, and the cells.

    Parameters
    ----------
    corners : tuple
        First voxel of each window, in the order in which they are to be visited.
    patch : tuple of int
        The window.
    edges : tuple
        Where the cells begin along each axis, and the end of the last.
    first, last, place : arrays
        Of each cell, as in `Cell`.
    room : int
        Voxels of memory that all cells need that are kept at once.
    """

    corners: tuple[Triple, ...]
    patch: Triple
    edges: tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]
    first: Counts
    last: Counts
    place: Counts
    room: int

    @classmethod
    def plan(cls, starts: Sequence[Sequence[int]], patch: Triple, most: int) -> Schedule:
        """The order of windows at `starts` along each axis that keeps least, with cells of at most `most` voxels.

        A cell is one plane thick at least, and may have more voxels then.
        """
        edges = [_edges(starts[axis], patch[axis]) for axis in range(3)]
        area = math.prod(max(b - a for a, b in itertools.pairwise(line)) for line in edges[1:])
        edges[0] = _cut(edges[0], max(1, most // area))
        sides = [np.diff(line) for line in edges]
        volume = sides[0][:, None, None] * sides[1][None, :, None] * sides[2][None, None, :]
        ends = [_touching(line, starts[axis], patch[axis]) for axis, line in enumerate(edges)]
        best: tuple[int, Counts, Counts, Counts] | None = None
        for number in _orders(starts, patch):
            first = number[np.ix_(*(e[0] for e in ends))]
            last = number[np.ix_(*(e[1] for e in ends))]
            kept = _most_kept(volume, first, last, number.size)
            if best is None or kept < best[0]:
                best = kept, number, first, last
        assert best is not None
        _, number, first, last = best
        place, room = _pack(volume.ravel(), first.ravel(), last.ravel())
        sequence = np.argsort(number, axis=None)
        every = list(itertools.product(*starts))
        return cls(
            tuple((every[n][0], every[n][1], every[n][2]) for n in sequence),
            patch,
            (tuple(edges[0]), tuple(edges[1]), tuple(edges[2])),
            first,
            last,
            place.reshape(volume.shape),
            room,
        )

    def cells(self, window: int) -> Iterator[Cell]:
        """The cells that have voxels in a window, by its number; those before along every axis come before."""
        spans = []
        for line, begin, side in zip(self.edges, self.corners[window], self.patch, strict=True):
            spans.append(range(bisect.bisect_right(line, begin) - 1, bisect.bisect_left(line, begin + side)))
        for a, b, c in itertools.product(*spans):
            ea, eb, ec = self.edges
            yield Cell(
                (ea[a], eb[b], ec[c]),
                (ea[a + 1], eb[b + 1], ec[c + 1]),
                int(self.first[a, b, c]),
                int(self.last[a, b, c]),
                int(self.place[a, b, c]),
            )


def _edges(starts: Sequence[int], width: int) -> list[int]:
    """Where windows begin and end along an axis, but no two closer than a sixteenth of a window."""
    points = sorted({*starts, *(start + width for start in starts)})
    least = width // _FINEST
    kept = [points[0]]
    for point in points[1:-1]:
        if point - kept[-1] >= least and points[-1] - point >= least:
            kept.append(point)
    return [*kept, points[-1]]


def _cut(edges: Sequence[int], longest: int) -> list[int]:
    """Edges between which there are at most `longest` planes, spread evenly."""
    found = [edges[0]]
    for begin, end in itertools.pairwise(edges):
        parts = -(-(end - begin) // longest)
        found += [begin + (end - begin) * n // parts for n in range(1, parts + 1)]
    return found


def _touching(edges: Sequence[int], starts: Sequence[int], width: int) -> tuple[Counts, Counts]:
    """Of each stretch between edges, the first and the last of the windows along the axis that reach into it."""
    found = [
        [n for n, start in enumerate(starts) if start < end and start + width > begin]
        for begin, end in itertools.pairwise(edges)
    ]
    return np.array([f[0] for f in found]), np.array([f[-1] for f in found])


def _orders(starts: Sequence[Sequence[int]], patch: Triple) -> Iterator[Counts]:
    """Orders worth trying, as the number of each window ``[a, b, c]`` in it; the plainest first."""
    options = [_groupings(starts[axis], patch[axis]) for axis in range(3)]
    size = tuple(len(line) for line in starts)
    turns = list(itertools.permutations(range(3)))
    if math.prod(size) * math.prod(len(o) for o in options) * len(turns) > _TRIES:
        options = [o[:1] for o in options]
    index = np.indices(size).reshape(3, -1)
    for groups in itertools.product(*options):
        group = [np.array(g)[line] for g, line in zip(groups, index, strict=True)]
        for turn in turns:
            keys = [group[axis] for axis in turn] + [index[axis] for axis in turn]
            number = np.empty(index.shape[1], dtype=np.int64)
            number[np.lexsort(keys[::-1])] = np.arange(index.shape[1])
            yield number.reshape(size)


def _groupings(starts: Sequence[int], width: int) -> list[tuple[int, ...]]:
    """Ways to take neighbours along an axis together: none, those that share more than some planes, or all."""
    shared = [width - (b - a) for a, b in itertools.pairwise(starts)]
    found = []
    for limit in (*sorted(set(shared), reverse=True), -1):
        groups = [0]
        for planes in shared:
            groups.append(groups[-1] + (planes <= limit))
        found.append(tuple(groups))
    return list(dict.fromkeys(found))


def _most_kept(volume: Counts, first: Counts, last: Counts, count: int) -> int:
    """The most voxels that are held between two windows."""
    size = volume.ravel()
    change = np.bincount(first.ravel(), size, count) - np.bincount(last.ravel(), size, count)
    return int(change.cumsum().max())


def _pack(volume: Counts, first: Counts, last: Counts) -> tuple[Counts, int]:
    """A place for each cell, none of which overlap while they are kept, and how far they reach.

    Each takes the smallest gap that is large enough, of a window's those that stay longest first. Cells of one window
    alone, which are finished at once, all have the same place, behind the others.
    """
    place = np.zeros(volume.size, dtype=np.int64)
    lasting = np.flatnonzero(last > first)
    begin = lasting[np.lexsort((first[lasting] - last[lasting], first[lasting]))]
    end = lasting[np.argsort(last[lasting], kind="stable")]
    gaps: list[tuple[int, int]] = [(0, int(volume.sum()) + 1)]
    room = done = 0
    for cell in begin:
        # a window finishes cells before it begins others
        while done < end.size and last[end[done]] <= first[cell]:
            _give_back(gaps, int(place[end[done]]), int(volume[end[done]]))
            done += 1
        size = int(volume[cell])
        n = min((high - low, n) for n, (low, high) in enumerate(gaps) if high - low >= size)[1]
        low, high = gaps[n]
        place[cell] = low
        room = max(room, low + size)
        gaps[n : n + 1] = [(low + size, high)] if high - low > size else []
    alone = last == first
    place[alone] = room
    return place, room + int(volume[alone].max(initial=0))


def _give_back(gaps: list[tuple[int, int]], low: int, size: int) -> None:
    """Add a gap, joined with those beside it."""
    high = low + size
    n = bisect.bisect(gaps, (low, high))
    if n < len(gaps) and gaps[n][0] == high:
        high = gaps.pop(n)[1]
    if n > 0 and gaps[n - 1][1] == low:
        n -= 1
        low = gaps.pop(n)[0]
    gaps.insert(n, (low, high))
