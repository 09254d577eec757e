"""Tool ``measure``: lengths, areas, volumes and values, each with its unit and where its scale came from.

`gpukit.measure` holds the verbs of the tool; they load on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

#: Verb -> module that defines it.
_VERBS = {
    "angle": "gpukit.measure.spatial.angles",
    "area": "gpukit.measure.spatial.areas",
    "bidirectional": "gpukit.measure.spatial.bidirectional",
    "cobb_angle": "gpukit.measure.spatial.angles",
    "compare": "gpukit.findings.compare",
    "distance": "gpukit.measure.spatial.lengths",
    "hu": "gpukit.measure.intensity.statistics",
    "pixel": "gpukit.measure.intensity.statistics",
    "polyline": "gpukit.measure.spatial.lengths",
    "roi": "gpukit.measure.intensity.statistics",
    "suv": "gpukit.measure.pet.suv",
    "suv_volume": "gpukit.measure.pet.suv",
    "volume": "gpukit.measure.intensity.volumes",
}

__all__ = [*sorted(_VERBS)]

if TYPE_CHECKING:
    from gpukit.findings.compare import compare as compare
    from gpukit.measure.intensity.statistics import hu as hu
    from gpukit.measure.intensity.statistics import pixel as pixel
    from gpukit.measure.intensity.statistics import roi as roi
    from gpukit.measure.intensity.volumes import volume as volume
    from gpukit.measure.pet.suv import suv as suv
    from gpukit.measure.pet.suv import suv_volume as suv_volume
    from gpukit.measure.spatial.angles import angle as angle
    from gpukit.measure.spatial.angles import cobb_angle as cobb_angle
    from gpukit.measure.spatial.areas import area as area
    from gpukit.measure.spatial.bidirectional import bidirectional as bidirectional
    from gpukit.measure.spatial.lengths import distance as distance
    from gpukit.measure.spatial.lengths import polyline as polyline


def __getattr__(name: str) -> Any:
    if name not in _VERBS:
        raise AttributeError(f"module 'gpukit.measure' has no attribute {name!r}")
    value = getattr(import_module(_VERBS[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
