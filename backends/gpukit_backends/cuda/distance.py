"""Distance transform on NVIDIA devices, by CuPy."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from gpukit.dispatch import kernel
from gpukit.ops.morphology import check_mask, check_spacing


def _declines(mask: Any, **_: Any) -> str | None:
    return None if mask.ndim in (2, 3) and mask.size else "CuPy has it for two and three axes"


@kernel(declines=_declines)
def distance(mask: Any, *, spacing: Sequence[float]) -> Any:
    """Return the distance to the nearest voxel outside, in mm; see `gpukit.ops.morphology.distance`."""
    check_mask(mask)
    sizes = check_spacing(mask, spacing)
    cupy, images = import_module("cupy"), import_module("cupyx.scipy.ndimage")
    with cupy.cuda.Device(int(mask.device.id)):
        inside = mask.astype(bool)
        if bool(inside.all()):
            return cupy.full(mask.shape, cupy.inf, cupy.float32)
        distances = images.distance_transform_edt(inside, sampling=sizes, float64_distances=True)
        return distances.astype(cupy.float32)
