"""Growing by a ball: compiled distances, only where the mask can reach."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.dispatch import kernel
from gpukit.ops.morphology import SLACK, check_mask, check_structure
from gpukit_backends.cpu._squared_distance import squared_distance


def _declines(mask: Any, structure: ArrayLike | None, **_: Any) -> str | None:
    if structure is not None:
        return "it grows by balls only"
    return "there are no voxels" if mask.size == 0 else None


def _reach(inside: NDArray[np.bool_], steps: tuple[int, ...]) -> tuple[slice, ...] | None:
    """Return the box that a mask can grow into, None for an empty mask."""
    box: tuple[slice, ...] = ()
    for axis, step in enumerate(steps):
        others = tuple(a for a in range(inside.ndim) if a != axis)
        indices = np.flatnonzero(inside.any(axis=others))
        if indices.size == 0:
            return None
        box += (slice(max(int(indices[0]) - step, 0), int(indices[-1]) + step + 1),)
    return box


@kernel(declines=_declines)
def dilate(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Grow a mask by a ball; see `gpukit.ops.morphology.dilate`."""
    check_mask(mask)
    ball = check_structure(mask, radius_mm, spacing, structure)
    assert isinstance(ball, tuple)
    radius, sizes = ball
    inside = mask.astype(bool, copy=False)
    limit = radius * (1 + SLACK)
    grown = np.zeros(mask.shape, bool)
    box = _reach(inside, tuple(min(int(limit / size), n) for size, n in zip(sizes, mask.shape, strict=True)))
    if box is not None:
        grown[box] = squared_distance(np.ascontiguousarray(inside[box]), sizes) <= np.float32(limit * limit)
    return grown
