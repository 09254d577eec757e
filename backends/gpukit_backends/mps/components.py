"""Connected components with torch: every voxel takes the smallest number around it, and follows where that points."""

from __future__ import annotations

import torch

from gpukit.device import kernel
from gpukit.ops.components import check_connectivity, neighbours


@kernel()
def components(mask: torch.Tensor, *, connectivity: int = 1) -> tuple[torch.Tensor, int]:
    """See `gpukit.ops.components.components`."""
    reach = check_connectivity(mask, connectivity)
    inside, size = mask.to(torch.bool), mask.numel()
    if size == 0:
        return torch.zeros(mask.shape, dtype=torch.int32, device=mask.device), 0
    whole = torch.int32 if size < 2**31 - 1 else torch.int64
    own = torch.arange(size, dtype=whole, device=mask.device).reshape(mask.shape)
    # One more element than voxels: what lies outside points there, behind every voxel.
    flat = torch.full((size + 1,), size, dtype=whole, device=mask.device)
    points = flat[:size].view(mask.shape)
    points.copy_(own.where(inside, size))
    while True:
        better = _smallest_around(points, reach).where(inside, size)
        after = torch.full_like(flat, size)
        for _ in range(2):  # follow the pointers: distances double instead of growing by one
            after[:size] = better.reshape(-1)
            better = after.index_select(0, better.reshape(-1)).reshape(mask.shape)
        if torch.equal(better, points):
            break
        points = better
    first = (points == own) & inside
    number = torch.cumsum(first.reshape(-1), 0, dtype=whole)
    labels = number.index_select(0, points.where(inside, 0).reshape(-1)).reshape(mask.shape).where(inside, 0)
    return labels.to(torch.int32), int(number[-1])


def _smallest_around(points: torch.Tensor, reach: int) -> torch.Tensor:
    """The smallest number among each voxel and its neighbours."""
    if reach == points.ndim:  # a full cube of neighbours is one axis after the other
        for axis in range(points.ndim):
            points = _smallest_of(points, [tuple(int(a == axis) for a in range(points.ndim))])
        return points
    half = [step for step in neighbours(points.ndim, reach) if step > (0,) * points.ndim]
    return _smallest_of(points, half)


def _smallest_of(points: torch.Tensor, steps: list[tuple[int, ...]]) -> torch.Tensor:
    """The smallest number among each voxel and the voxels one step forward or backward."""
    best = points.clone()
    for step in steps:
        if any(s and n == 1 for s, n in zip(step, points.shape, strict=True)):
            continue
        ahead = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, points.shape, strict=True))
        behind = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, points.shape, strict=True))
        best[ahead] = torch.minimum(best[ahead], points[behind])
        best[behind] = torch.minimum(best[behind], points[ahead])
    return best
