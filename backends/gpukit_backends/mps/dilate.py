"""Growing by a ball with torch."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops.morphology import SLACK, check_mask, check_structure
from gpukit_backends.mps._squared_distance import squared_distance


def _no_ball(structure: ArrayLike | None, **_: object) -> str | None:
    return None if structure is None else "it grows by balls only"


@kernel(declines=_no_ball)
def dilate(
    mask: torch.Tensor,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.morphology.dilate`."""
    check_mask(mask)
    ball = check_structure(mask, radius_mm, spacing, structure)
    assert isinstance(ball, tuple)
    inside = mask.to(torch.bool)
    if mask.numel() == 0:
        return inside
    limit = ball[0] * (1 + SLACK)
    return squared_distance(inside, ball[1], limit) <= limit * limit
