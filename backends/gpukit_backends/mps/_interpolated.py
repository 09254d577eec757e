"""A volume between its voxels, with torch: the rules of the reference on fused operations."""

from __future__ import annotations

import functools
from typing import Any

import array_api_compat.torch as compat
import torch

from gpukit.ops._arrays import Padding, invalid
from gpukit.ops._interpolate import inside, linear
from gpukit.ops._mapping import Matrix, rows
from gpukit_backends.mps._tensors import real_dtype, widened

__all__ = ["CHUNK", "Field", "coordinates"]

#: Samples worked on at a time; bounds the memory.
CHUNK = 1 << 21


@functools.cache
def _interpolates(kind: str) -> bool:
    """Return whether torch has trilinear sampling on this kind of device (on MPS only since 2.9)."""
    volume, grid = (torch.zeros(size, device=kind) for size in ((1, 1, 1, 1, 1), (1, 1, 1, 1, 3)))
    try:
        torch.nn.functional.grid_sample(volume, grid, align_corners=True)
    except (NotImplementedError, RuntimeError):
        return False
    return True


class Field:
    """Values of a volume at any place, by order 0 or 1.

    Parameters
    ----------
    data : tensor, (nk, nj, ni)
        In any type but complex.
    padding : (float, float) or None
        Values that are not measurements.
    """

    def __init__(self, data: torch.Tensor, padding: Padding) -> None:
        self.shape = (int(data.shape[0]), int(data.shape[1]), int(data.shape[2]))
        self.real = real_dtype(data)
        self.values = widened(data).contiguous()
        bad = invalid(compat, self.values, padding)
        self.bad: torch.Tensor | None = bad if bad is not None and bool(bad.any()) else None
        self._volume: torch.Tensor | None = None

    def at(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor, order: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return values in working precision, and which samples count: inside, on a measurement. Any shape."""
        counts = inside(x, y, z, self.shape)
        flat = self.values.view(-1)
        if order == 0 or self.bad is not None:
            nearest = self._nearest(x, y, z)
            if self.bad is not None:
                counts = counts & ~self.bad.view(-1)[nearest]
            if order == 0:
                return flat[nearest].to(self.real), counts
        if not _interpolates(x.device.type):
            bad = None if self.bad is None else self.bad.view(-1)
            size = x.shape
            value = linear(compat, flat, bad, self.shape, x.reshape(-1), y.reshape(-1), z.reshape(-1))[0]
            return value.reshape(size), counts
        return self._trilinear(x, y, z), counts

    def _nearest(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        nk, nj, ni = self.shape
        i, j, k = (torch.floor(c + 0.5).clamp_(0, n - 1).to(torch.int64) for c, n in ((x, ni), (y, nj), (z, nk)))
        return (k * nj + j) * ni + i

    def _trilinear(self, x: torch.Tensor, y: torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        """Between voxel centres linear, beyond the outermost ones constant; only measurements have weight."""
        if self._volume is None:
            values = self.values.to(self.real)
            if self.bad is None:
                self._volume = values[None]
            else:
                self._volume = torch.stack((values.masked_fill(self.bad, 0.0), (~self.bad).to(self.real)))
        nk, nj, ni = self.shape
        places = torch.stack([c.reshape(-1) * (2.0 / max(n - 1, 1)) - 1.0 for c, n in ((x, ni), (y, nj), (z, nk))], 1)
        # On the CPU torch spreads a batch over its threads, but not one volume.
        batch = min(torch.get_num_threads(), places.shape[0]) if x.device.type == "cpu" else 1
        short = -places.shape[0] % batch
        if short:
            places = torch.nn.functional.pad(places, (0, 0, 0, short))
        grid = places.view(batch, 1, 1, -1, 3)
        volume = self._volume.expand(batch, *self._volume.shape)
        sampled = torch.nn.functional.grid_sample(volume, grid, padding_mode="border", align_corners=True)
        sampled = sampled[:, :, 0, 0].transpose(0, 1).reshape(sampled.shape[1], -1)[:, : x.numel()]
        if self.bad is None:
            return sampled[0].reshape(x.shape)
        weight = sampled[1].where(sampled[1] > 0, 1.0)
        return (sampled[0] / weight).reshape(x.shape)


def coordinates(matrix: Matrix, start: int, stop: int, shape: tuple[int, ...], like: Field) -> tuple[Any, Any, Any]:
    """Input index (i, j, k) of the output slices from `start` to `stop`, each as a tensor (slices, rows, columns)."""
    device, real = like.values.device, like.real
    k = torch.arange(start, stop, dtype=real, device=device)[:, None, None]
    j = torch.arange(shape[1], dtype=real, device=device)[None, :, None]
    i = torch.arange(shape[2], dtype=real, device=device)[None, None, :]
    x, y, z = (m0 * i + ((m1 * j + m2 * k) + m3) for m0, m1, m2, m3 in rows(matrix))
    return x, y, z
