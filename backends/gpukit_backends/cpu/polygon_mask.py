"""Polygon masks on the CPU: runs of pixels between crossings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.dispatch import kernel
from gpukit.ops.polygon import check_rings, crossings


@kernel()
def polygon_mask(data: Any, rings: Sequence[ArrayLike]) -> NDArray[np.bool_]:
    """Return pixels whose centre lies inside a polygon; see `gpukit.ops.polygon.polygon_mask`."""
    nj, ni = (int(n) for n in data.shape[-2:])
    row, column = crossings(check_rings(rings), (nj, ni))
    inside = np.zeros((nj, ni), np.bool_)
    # A closed ring crosses a row an even number of times, so that crossings pair up.
    for j, begin, end in zip(row[::2].tolist(), column[::2].tolist(), column[1::2].tolist(), strict=True):
        inside[j, begin:end] = True
    return inside
