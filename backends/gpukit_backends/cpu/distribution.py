"""Statistics and percentiles from one pass over voxels of 8 or 16 bits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._selection import check_like
from gpukit.ops.distribution import Distribution
from gpukit.ops.statistics import Statistics, check_percentages
from gpukit_backends.cpu._groups import flat, inside
from gpukit_backends.cpu._value_counts import moments, percentile, small, tally


def _declines(data: Any, **_: Any) -> str | None:
    return None if small(data) else "a table of all values does not pay"


@kernel(declines=_declines)
def distribution(
    data: Any,
    q: Sequence[float] = (50.0,),
    mask: Any | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> Distribution:
    """Return statistics and exact percentiles; see `gpukit.ops.distribution.distribution`."""
    percentages = check_percentages(q)
    interval = check_padding(padding)
    if mask is not None:
        check_like(data, mask)
    first, counts = tally(flat(data), inside(mask), interval)
    return Distribution(
        Statistics.from_moments(moments(first, counts)), percentages, percentile(first, counts, percentages)
    )
