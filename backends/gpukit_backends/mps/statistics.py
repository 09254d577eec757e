"""Statistics with torch: rows of voxels on the device, merged on the host in float64."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

from gpukit.dispatch import kernel
from gpukit.ops._arrays import Padding, check_padding
from gpukit.ops._moments import Moments, merged
from gpukit.ops._selection import check_like
from gpukit.ops.statistics import Statistics, check_labels
from gpukit_backends.mps._tensors import chosen, real_dtype, widened

#: Voxels whose moments are one row: few enough that float32 sums keep their digits.
ROW = 1 << 13
#: Voxels worked on at a time: what fits a processor's cache, or keeps an accelerator busy.
CHUNK = {"cpu": 1 << 17}
CHUNK_ELSEWHERE = 1 << 23


def _no_real_numbers(data: torch.Tensor, **_: object) -> str | None:
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_no_real_numbers)
def statistics(
    data: torch.Tensor,
    mask: torch.Tensor | None = None,
    *,
    labels: Sequence[int] | None = None,
    padding: Sequence[float] | None = None,
) -> Statistics | tuple[Statistics, ...]:
    """See `gpukit.ops.statistics.statistics`."""
    chosen = check_labels(mask, labels)
    interval = check_padding(padding)
    flat = data.reshape(-1)
    if mask is None:
        return Statistics.from_moments(_moments(flat, None, None, interval))
    check_like(data, mask)
    where = mask.reshape(-1)
    if chosen is None:
        return Statistics.from_moments(_moments(flat, where, None, interval))
    where = widened(where)
    return tuple(Statistics.from_moments(_moments(flat, where, label, interval), label) for label in chosen)


def _moments(flat: torch.Tensor, mask: torch.Tensor | None, label: int | None, padding: Padding) -> Moments:
    parts = []
    chunk = CHUNK.get(flat.device.type, CHUNK_ELSEWHERE)
    for start in range(0, flat.numel(), chunk):
        piece = slice(start, start + chunk)
        values = widened(flat[piece])
        inside = None if mask is None else mask[piece] if label is None else mask[piece] == label
        keep = chosen(values, inside, padding)
        if keep is None:
            keep = torch.ones_like(values, dtype=torch.bool)
        parts.append(_rows(values.to(real_dtype(values)), keep))
    if not parts:
        return Moments()
    rows = torch.cat(parts).cpu().tolist()  # the numbers leave the device once
    return merged(
        Moments(int(n), mean, m2, m3, m4, mean * n, m2 + n * mean * mean, low, high)
        for n, mean, m2, m3, m4, low, high in rows
        if n
    )


def _rows(values: torch.Tensor, keep: torch.Tensor) -> torch.Tensor:
    """One line of moments a row."""
    short = -values.numel() % ROW
    values = torch.nn.functional.pad(values, (0, short)).reshape(-1, ROW)
    keep = torch.nn.functional.pad(keep, (0, short)).reshape(-1, ROW)
    n = keep.sum(1)
    some = n.clamp(min=1)
    mean = values.where(keep, 0.0).sum(1) / some
    off = (values - mean[:, None]).where(keep, 0.0)
    remainder = off.sum(1) / some  # what rounding left over in the first pass
    off = (off - remainder[:, None]).where(keep, 0.0)
    square = off * off
    return torch.stack(
        (
            n.to(values.dtype),
            mean + remainder,
            square.sum(1),
            (square * off).sum(1),
            (square * square).sum(1),
            values.where(keep, math.inf).amin(1),
            values.where(keep, -math.inf).amax(1),
        ),
        dim=1,
    )
