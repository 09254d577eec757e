"""Resampling with torch: `grid_sample` for oblique maps, the reference's own short ways for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import array_api_compat.torch as compat
import torch
from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.errors import InputError
from gpukit.ops._arrays import as_dtype, check_padding, dtype_of, is_floating
from gpukit.ops._mapping import axes_of, check_affine, check_shape
from gpukit.ops.resample import resample as operation
from gpukit_backends.mps._interpolated import CHUNK, Field, coordinates
from gpukit_backends.mps._tensors import widened


def _for_the_reference(data: torch.Tensor, order: int, **_: Any) -> str | None:
    if data.ndim != 3 or order not in (0, 1, 3):
        return "the arguments are wrong, and the reference says how"
    return "the values are complex" if data.is_complex() else None


@kernel(declines=_for_the_reference)
def resample(
    data: torch.Tensor,
    matrix: ArrayLike,
    shape: Sequence[int],
    *,
    order: int = 1,
    fill: float = 0.0,
    padding: Sequence[float] | None = None,
    dtype: Any = None,
) -> torch.Tensor:
    """See `gpukit.ops.resample.resample`."""
    size = check_shape(shape)
    map_ = check_affine(matrix, size)
    target = dtype_of(compat, dtype, data)
    interval = check_padding(padding)
    if order == 3 or axes_of(map_) is not None:
        # Torch computes with few unsigned types, so the reference gets wider ones and the result the right one.
        resampled: torch.Tensor = operation.reference(
            widened(data), map_, size, order=order, fill=fill, padding=interval, dtype=target
        )
        return resampled
    field = Field(data, interval)
    result = torch.empty(size, dtype=target, device=data.device)
    empty = float(fill)
    if not is_floating(compat, target) and empty != empty:
        raise InputError("NaN fits no whole number", attribute="fill")
    chunk = max(1, CHUNK // (size[1] * size[2]))
    for start in range(0, size[0], chunk):
        stop = min(start + chunk, size[0])
        value, counts = field.at(*coordinates(map_, start, stop, size, field), order)
        result[start:stop] = as_dtype(compat, value.where(counts, empty), target)
    return result
