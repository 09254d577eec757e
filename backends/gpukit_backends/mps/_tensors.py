"""Shared parts of the torch kernels: working precision, types that torch can compute with, and which voxels count."""

from __future__ import annotations

import torch

from gpukit.ops._arrays import Padding, whole_padding

__all__ = ["chosen", "real_dtype", "widened"]

#: Kinds of device without float64. A test adds "cpu" here, so that the code MPS runs is run everywhere.
WITHOUT_FLOAT64 = {"mps"}

#: Torch stores these types, but compares and orders none of them.
_WIDER = {torch.uint16: torch.int32, torch.uint32: torch.int64, torch.uint64: torch.int64, torch.bool: torch.uint8}


def real_dtype(tensor: torch.Tensor) -> torch.dtype:
    """float64, or float32 where the tensor's device has no float64."""
    return torch.float32 if tensor.device.type in WITHOUT_FLOAT64 else torch.float64


def widened(tensor: torch.Tensor) -> torch.Tensor:
    """Return the same values in a type that torch can compare; most types are that already."""
    return tensor.to(_WIDER.get(tensor.dtype, tensor.dtype))


def chosen(values: torch.Tensor, mask: torch.Tensor | None, padding: Padding) -> torch.Tensor | None:
    """Boolean tensor of the measurements inside the mask, None for all; `values` must be `widened`."""
    keep = None if mask is None else mask.to(torch.bool)
    if values.is_floating_point():
        real = ~torch.isnan(values)
        keep = real if keep is None else keep & real
    if padding is not None:
        low, high = padding
        if not values.is_floating_point():  # the whole numbers in the interval, as far as the type reaches
            limits = torch.iinfo(values.dtype)
            whole = whole_padding(padding, limits.min, limits.max)
            if whole is None:
                return keep
            low, high = whole
        measured = (values < low) | (values > high)
        keep = measured if keep is None else keep & measured
    return keep
