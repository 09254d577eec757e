"""Growing by a ball on NVIDIA devices: what lies within the radius, by CuPy's distances."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any

from numpy.typing import ArrayLike

from gpukit.dispatch import kernel
from gpukit.ops.morphology import SLACK, check_mask, check_structure


def _declines(mask: Any, structure: ArrayLike | None, **_: Any) -> str | None:
    if structure is not None:
        return "it grows by balls only"
    return None if mask.ndim in (2, 3) and mask.size else "CuPy has it for two and three axes"


@kernel(declines=_declines)
def dilate(
    mask: Any,
    *,
    radius_mm: float | None = None,
    spacing: Sequence[float] | None = None,
    structure: ArrayLike | None = None,
) -> Any:
    """Grow a mask by a ball; see `gpukit.ops.morphology.dilate`."""
    check_mask(mask)
    ball = check_structure(mask, radius_mm, spacing, structure)
    assert isinstance(ball, tuple)
    cupy, images = import_module("cupy"), import_module("cupyx.scipy.ndimage")
    with cupy.cuda.Device(int(mask.device.id)):
        inside = mask.astype(bool)
        if not bool(inside.any()):
            return inside
        distances = images.distance_transform_edt(~inside, sampling=ball[1], float64_distances=True)
        return distances <= ball[0] * (1 + SLACK)
