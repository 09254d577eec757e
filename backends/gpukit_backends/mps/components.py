"""Connected components with torch: runs along the rows are joined where they touch, all pairs at once."""

from __future__ import annotations

import torch

from gpukit.dispatch import kernel
from gpukit.ops.components import check_connectivity, neighbours


@kernel()
def components(mask: torch.Tensor, *, connectivity: int = 1) -> tuple[torch.Tensor, int]:
    """See `gpukit.ops.components.components`."""
    reach = check_connectivity(mask, connectivity)
    inside = mask.to(torch.bool)
    if mask.numel() == 0:
        return torch.zeros(mask.shape, dtype=torch.int32, device=mask.device), 0
    starts = inside.clone()
    starts[..., 1:] &= ~inside[..., :-1]
    # Runs count from 0 in C order, so the lowest run of a part holds the part's first voxel.
    run = torch.cumsum(starts.view(-1), 0, dtype=torch.int32).view(mask.shape) - 1
    runs = int(run.view(-1)[-1]) + 1
    low, high = _touching(inside, run, reach)
    points = torch.arange(runs, dtype=torch.int64, device=mask.device)
    while low.numel():
        # Any of the lower runs that a run touches will do: the pointers only ever go down, so there are no circles.
        points[high] = low
        while not torch.equal(further := points[points], points):
            points = further
        low, high = points[low], points[high]
        apart = low != high
        low, high = torch.minimum(low, high)[apart], torch.maximum(low, high)[apart]
    first = points == torch.arange(runs, dtype=torch.int64, device=mask.device)
    number = torch.cumsum(first, 0, dtype=torch.int32)
    count = int(number[-1]) if runs else 0
    table = torch.zeros(runs + 1, dtype=torch.int32, device=mask.device)
    table[1:] = number[points]
    return table[(run + 1).where(inside, 0)], count


def _touching(inside: torch.Tensor, run: torch.Tensor, reach: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pairs of runs (lower, higher) in different rows that hold neighbouring voxels."""
    lows, highs = [], []
    for step in neighbours(inside.ndim, reach):
        row = step[:-1]
        if row <= (0,) * len(row) or any(abs(s) >= n for s, n in zip(step, inside.shape, strict=True)):
            continue  # the opposite step says the same; a run's own neighbours are in the run
        here = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, inside.shape, strict=True))
        there = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, inside.shape, strict=True))
        both = inside[here] & inside[there]
        fresh = both.clone()
        fresh[..., 1:] &= ~both[..., :-1]  # the same two runs go on
        lows.append(run[here][fresh])
        highs.append(run[there][fresh])
    if not lows:
        none = torch.zeros(0, dtype=torch.int64, device=inside.device)
        return none, none
    return torch.cat(lows).to(torch.int64), torch.cat(highs).to(torch.int64)
