"""Projections in any direction with torch: a few slices of the slab at a time, reduced as they come."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as compat
import torch
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops._arrays import as_dtype, check_padding
from gpukit.ops._mapping import check_affine, check_shape
from gpukit.ops.project import check_method
from gpukit.ops.sample import check_sample
from gpukit_backends.mps._interpolated import CHUNK, Field, coordinates


def _for_the_reference(data: torch.Tensor, order: int, **_: Any) -> str | None:
    if order == 3:
        return "the spline is not its business"
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_for_the_reference)
def project_slab(
    data: torch.Tensor,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    method: str = "max",
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.project.project_slab`."""
    check_sample(data, order)
    check_method(method)
    size = check_shape(shape)
    map_ = check_affine(matrix, size)
    field = Field(data, check_padding(padding))
    neutral = {"max": -math.inf, "min": math.inf, "mean": 0.0}[method]
    best = torch.full(size[1:], neutral, dtype=field.real, device=data.device)
    count = torch.zeros(size[1:], dtype=torch.int64, device=data.device)
    chunk = max(1, CHUNK // (size[1] * size[2]))
    for start in range(0, size[0], chunk):
        value, counts = field.at(*coordinates(map_, start, min(start + chunk, size[0]), size, field), order)
        count += counts.sum(0)
        value = value.where(counts, neutral)
        if method == "mean":
            best += value.sum(0)
        else:
            best = torch.maximum(best, value.amax(0)) if method == "max" else torch.minimum(best, value.amin(0))
    if method == "mean":
        return (best / count.clamp(min=1)).where(count > 0, float(fill))
    nothing = torch.full_like(best, float(fill))
    picture: torch.Tensor = as_dtype(compat, best.where(count > 0, nothing), data.dtype)
    return picture
