"""Distance transform by compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from gpukit.dispatch import kernel
from gpukit.ops.morphology import check_mask, check_spacing
from gpukit_backends.cpu._squared_distance import squared_distance


def _declines(mask: Any, **_: Any) -> str | None:
    return "there are no voxels" if mask.size == 0 else None


@kernel(declines=_declines)
def distance(mask: Any, *, spacing: Sequence[float]) -> Any:
    """Return the distance to the nearest voxel outside, in mm; see `gpukit.ops.morphology.distance`."""
    check_mask(mask)
    sizes = check_spacing(mask, spacing)
    squared = squared_distance(np.ascontiguousarray(mask == 0), sizes)
    return np.sqrt(squared, out=squared)
