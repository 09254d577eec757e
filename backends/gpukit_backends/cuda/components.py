"""Connected components on NVIDIA devices: CuPy's labels, numbered in the order of their first voxels."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from gpukit.dispatch import kernel
from gpukit.ops.components import check_connectivity


def _declines(mask: Any, **_: Any) -> str | None:
    return None if 0 < mask.size < 2**31 else "there are no voxels, or more than a 32-bit number counts"


@kernel(declines=_declines)
def components(mask: Any, *, connectivity: int = 1) -> tuple[Any, int]:
    """Number the connected parts of a mask; see `gpukit.ops.components.components`."""
    reach = check_connectivity(mask, connectivity)
    cupy, images = import_module("cupy"), import_module("cupyx.scipy.ndimage")
    with cupy.cuda.Device(int(mask.device.id)):
        near = images.generate_binary_structure(mask.ndim, reach)
        labels, count = images.label(cupy.ascontiguousarray(mask.astype(bool)), near)
        count = int(count)
        flat = labels.reshape(-1)
        # 32 bits are enough, and CuPy has no atomic minimum for signed 64
        first = cupy.full(count + 1, flat.size, cupy.int32)
        cupy.minimum.at(first, flat, cupy.arange(flat.size, dtype=cupy.int32))
        number = cupy.zeros(count + 1, cupy.int32)
        number[cupy.argsort(first[1:]) + 1] = cupy.arange(1, count + 1, dtype=cupy.int32)
        return number[labels], count
