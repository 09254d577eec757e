"""Point sampling with torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from gpukit.dispatch import kernel
from gpukit.errors import InputError
from gpukit.ops._arrays import check_padding
from gpukit.ops.sample import check_sample
from gpukit_backends.mps._interpolated import CHUNK, Field


def _for_the_reference(data: torch.Tensor, points: Any, order: int, **_: Any) -> str | None:
    if order == 3:
        return "the spline is not its business"
    if not isinstance(points, torch.Tensor) or points.device != data.device:
        return "the points are not on the device of the volume"
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_for_the_reference)
def sample(
    data: torch.Tensor,
    points: torch.Tensor,
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
) -> torch.Tensor:
    """See `gpukit.ops.sample.sample`."""
    check_sample(data, order)
    field = Field(data, check_padding(padding))
    if points.ndim != 2 or points.shape[1] != 3:
        raise InputError(f"points must have the shape (n, 3), not {tuple(points.shape)}", attribute="points")
    result = torch.empty(points.shape[0], dtype=field.real, device=data.device)
    for start in range(0, points.shape[0], CHUNK):
        at = points[start : start + CHUNK].to(field.real)
        at = at.where(torch.isfinite(at), -2.0)  # outside
        value, counts = field.at(at[:, 0], at[:, 1], at[:, 2], order)
        result[start : start + CHUNK] = value.where(counts, float(fill))
    return result
