"""Keeping the main body of a label map: what hangs on it by a thin bridge is cut off."""

from __future__ import annotations

from typing import Any

from gpukit.device import array_namespace
from gpukit.errors import ModelError
from gpukit.ops.components import largest_component
from gpukit.ops.morphology import dilate, erode

__all__ = ["MOST_RADIUS", "keep_main_body"]

#: Largest radius in mm; more would remove any organ.
MOST_RADIUS = 20.0


def keep_main_body(labels: Any, spacing: tuple[float, float, float], radius_mm: float) -> Any:
    """Labels of the largest body, all labels taken together, after bridges thinner than twice `radius_mm` are cut.

    The foreground is eroded by a ball, its largest component is grown back by the ball and one voxel diagonal, and
    labels outside that are removed. A brain is kept so, and muscles that touch it through a foramen are not.

    Parameters
    ----------
    labels : array of integers, ``[k, j, i]``
        Label map, on any device; 0 is background.
    spacing : (si, sj, sk)
        Voxel size in mm.
    radius_mm : float
        Radius of the ball, above 0 and at most `MOST_RADIUS`.

    Returns
    -------
    array
        Same type and shape. Unchanged where nothing is left after the erosion.

    Raises
    ------
    ModelError
        The radius is out of range.
    """
    if not 0 < radius_mm <= MOST_RADIUS:
        raise ModelError(
            f"a radius of {radius_mm:g} mm is not above 0 and at most {MOST_RADIUS:g}", attribute="radius_mm"
        )
    xp = array_namespace(labels)
    foreground = labels > 0
    core = erode(foreground, radius_mm=radius_mm, spacing=spacing)
    if not bool(xp.any(core)):
        return labels
    # One voxel diagonal more, so that the rounding of a ball to voxels does not shave the body's own surface.
    reach = radius_mm + sum(s * s for s in spacing) ** 0.5
    body = dilate(largest_component(core), radius_mm=reach, spacing=spacing)
    return xp.where(body, labels, xp.zeros_like(labels))
