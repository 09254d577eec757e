"""Projections along an axis with torch: a part of the picture at a time, in the data's own type."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as compat
import torch

from gpukit.dispatch import kernel
from gpukit.ops._arrays import Padding, check_padding, invalid
from gpukit.ops.project import check_project
from gpukit_backends.mps._tensors import real_dtype, widened

#: Voxels worked on at a time; bounds the memory.
CHUNK = 1 << 23


def _unsuitable(data: torch.Tensor, **_: Any) -> str | None:
    if data.ndim != 3 or data.numel() == 0:
        return "the arguments are wrong, and the reference says how"
    if data.is_complex() or data.dtype in (torch.bool, torch.float16, torch.bfloat16):
        return f"voxel type {data.dtype} is left to the reference"
    return None


@kernel(declines=_unsuitable)
def project(
    data: torch.Tensor,
    axis: int,
    *,
    method: str = "max",
    start: int = 0,
    stop: int | None = None,
    padding: Sequence[float] | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.project.project`."""
    begin, end = check_project(data, axis, method, start, stop)
    interval = check_padding(padding)
    view = data.narrow(axis, begin, end - begin)
    along = 1 if axis == 0 else 0  # the picture's rows
    rows = max(1, CHUNK * view.shape[along] // view.numel())
    parts = [
        _reduced(view.narrow(along, row, min(rows, view.shape[along] - row)), axis, method, interval)
        for row in range(0, view.shape[along], rows)
    ]
    return torch.cat(parts).to(real_dtype(data) if method == "mean" else data.dtype)


def _reduced(part: torch.Tensor, axis: int, method: str, padding: Padding) -> torch.Tensor:
    values = widened(part)
    bad = invalid(compat, values, padding)
    if method == "mean":
        exact = real_dtype(values) if values.is_floating_point() else torch.int64
        valid = values if bad is None else values.masked_fill(bad, 0)
        total: torch.Tensor = valid.sum(axis, dtype=exact).to(real_dtype(values))
        if bad is None:
            return total / values.shape[axis]
        count: torch.Tensor = (~bad).sum(axis)
        return (total / count.clamp(min=1)).where(count > 0, math.nan)
    biggest = method == "max"
    if bad is None:
        return values.amax(axis) if biggest else values.amin(axis)
    if values.is_floating_point():
        neutral, nothing = (-math.inf if biggest else math.inf), math.nan
    else:
        assert padding is not None
        info, own = torch.iinfo(values.dtype), torch.iinfo(part.dtype)
        neutral, nothing = (info.min if biggest else info.max), math.ceil(min(max(padding[0], own.min), own.max))
    valid = values.masked_fill(bad, neutral)
    extreme: torch.Tensor = valid.amax(axis) if biggest else valid.amin(axis)
    return extreme.masked_fill(bad.all(axis), nothing)
