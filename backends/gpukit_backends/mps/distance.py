"""Distance transform with torch."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gpukit.dispatch import kernel
from gpukit.ops.morphology import check_mask, check_spacing
from gpukit_backends.mps._squared_distance import squared_distance


@kernel()
def distance(mask: torch.Tensor, *, spacing: Sequence[float]) -> torch.Tensor:
    """See `gpukit.ops.morphology.distance`."""
    check_mask(mask)
    sizes = check_spacing(mask, spacing)
    if mask.numel() == 0:
        return torch.zeros(mask.shape, dtype=torch.float32, device=mask.device)
    return squared_distance(~mask.to(torch.bool), sizes, math.inf).sqrt_()
