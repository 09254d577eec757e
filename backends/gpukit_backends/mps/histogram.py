"""Histogram with torch: the bin of each value, counted on the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from gpukit.dispatch import kernel
from gpukit.ops._arrays import check_padding
from gpukit.ops._selection import check_like
from gpukit.ops.histogram import check_edges, real_bounds, whole_bounds
from gpukit_backends.mps._tensors import chosen, real_dtype, widened

#: Values worked on at a time; bounds the memory.
CHUNK = 1 << 22


def _unsuitable(data: torch.Tensor, **_: object) -> str | None:
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_unsuitable)
def histogram(
    data: torch.Tensor,
    edges: Sequence[float],
    mask: torch.Tensor | None = None,
    *,
    padding: Sequence[float] | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.histogram.histogram`."""
    limits = check_edges(edges)
    interval = check_padding(padding)
    if mask is not None:
        check_like(data, mask)
    flat = data.reshape(-1)
    where = None if mask is None else mask.reshape(-1)
    bounds = _bounds(data, limits)
    counts = torch.zeros(bounds.numel() + 1, dtype=torch.int64, device=data.device)
    last_is_infinite = data.is_floating_point() and bool(np.isposinf(limits[-1]))
    for start in range(0, flat.numel(), CHUNK):
        piece = slice(start, start + CHUNK)
        values = widened(flat[piece])
        if values.is_floating_point():
            values = values.to(bounds.dtype)
        slot = torch.bucketize(values.to(bounds.dtype), bounds, right=True)
        if last_is_infinite:  # infinity lies at the last bound, and the last bin is closed
            slot = slot.where(~torch.isposinf(values), bounds.numel() - 1)
        keep = chosen(values, None if where is None else where[piece], interval)
        if keep is not None:
            slot = slot.where(keep, 0)
        counts += torch.bincount(slot, minlength=counts.numel())
    return counts[1:-1]  # without what lies below and above


def _bounds(data: torch.Tensor, limits: np.ndarray) -> torch.Tensor:
    """Return the edges in a type in which comparing with the data's values is exact."""
    if data.is_floating_point():
        real = real_dtype(data) if data.dtype == torch.float64 else torch.float32
        near = real_bounds(limits, np.float64 if real == torch.float64 else np.float32)
        return torch.tensor(near.tolist(), dtype=real, device=data.device)
    return torch.tensor(whole_bounds(limits).tolist(), dtype=torch.int64, device=data.device)
