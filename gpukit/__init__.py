"""gpukit: GPU-first medical imaging. Public names load on first use, so that importing gpukit costs next to nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from gpukit.version import __version__

#: Public name -> module that defines it. Pinned by a test.
_PUBLIC = {
    "Box": "gpukit.measure.region.shapes",
    "Circle": "gpukit.measure.region.shapes",
    "DeviceInfo": "gpukit.device",
    "Ellipse": "gpukit.measure.region.shapes",
    "GpukitError": "gpukit.errors",
    "Grid": "gpukit.geometry",
    "Label": "gpukit.segmentation",
    "Measurement": "gpukit.findings.measurement",
    "Polygon": "gpukit.measure.region.shapes",
    "Quantity": "gpukit.findings.measurement",
    "Segmentation": "gpukit.segmentation",
    "SourceInstance": "gpukit.volume",
    "Sphere": "gpukit.measure.region.shapes",
    "Volume": "gpukit.volume",
    "angle": "gpukit.measure.spatial.angles",
    "area": "gpukit.measure.spatial.areas",
    "bidirectional": "gpukit.measure.spatial.bidirectional",
    "cobb_angle": "gpukit.measure.spatial.angles",
    "classify": "gpukit.ai.tasks.classify",
    "compare": "gpukit.findings.compare",
    "count_transfers": "gpukit.transfers",
    "detect": "gpukit.ai.tasks.detect",
    "devices": "gpukit.device",
    "distance": "gpukit.measure.spatial.lengths",
    "enhance": "gpukit.ai.tasks.enhance",
    "explain": "gpukit.dispatch",
    "find_series": "gpukit.io.open",
    "hu": "gpukit.measure.intensity.statistics",
    "mip": "gpukit.rendering.mpr.planes",
    "mpr": "gpukit.rendering.mpr.planes",
    "open": "gpukit.io.open",
    "open_mask": "gpukit.io.masks",
    "pixel": "gpukit.measure.intensity.statistics",
    "polyline": "gpukit.measure.spatial.lengths",
    "render": "gpukit.rendering.scene.camera",
    "roi": "gpukit.measure.intensity.statistics",
    "save": "gpukit.io.save",
    "segment": "gpukit.ai.tasks.segment",
    "suv": "gpukit.measure.pet.suv",
    "suv_volume": "gpukit.measure.pet.suv",
}

#: Packages that hold the verbs of one tool, such as `gpukit.measure.volume`.
_NAMESPACES = ("measure", "report", "viewer")

__all__ = ["__version__", *_NAMESPACES, *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from gpukit.ai.tasks.classify import classify as classify
    from gpukit.ai.tasks.detect import detect as detect
    from gpukit.ai.tasks.enhance import enhance as enhance
    from gpukit.ai.tasks.segment import segment as segment
    from gpukit.device import DeviceInfo as DeviceInfo
    from gpukit.device import devices as devices
    from gpukit.dispatch import explain as explain
    from gpukit.errors import GpukitError as GpukitError
    from gpukit.findings.compare import compare as compare
    from gpukit.findings.measurement import Measurement as Measurement
    from gpukit.findings.measurement import Quantity as Quantity
    from gpukit.geometry import Grid as Grid
    from gpukit.io.masks import open_mask as open_mask
    from gpukit.io.open import find_series as find_series
    from gpukit.io.open import open as open
    from gpukit.io.save import save as save
    from gpukit.measure.intensity.statistics import hu as hu
    from gpukit.measure.intensity.statistics import pixel as pixel
    from gpukit.measure.intensity.statistics import roi as roi
    from gpukit.measure.pet.suv import suv as suv
    from gpukit.measure.pet.suv import suv_volume as suv_volume
    from gpukit.measure.region.shapes import Box as Box
    from gpukit.measure.region.shapes import Circle as Circle
    from gpukit.measure.region.shapes import Ellipse as Ellipse
    from gpukit.measure.region.shapes import Polygon as Polygon
    from gpukit.measure.region.shapes import Sphere as Sphere
    from gpukit.measure.spatial.angles import angle as angle
    from gpukit.measure.spatial.angles import cobb_angle as cobb_angle
    from gpukit.measure.spatial.areas import area as area
    from gpukit.measure.spatial.bidirectional import bidirectional as bidirectional
    from gpukit.measure.spatial.lengths import distance as distance
    from gpukit.measure.spatial.lengths import polyline as polyline
    from gpukit.rendering.mpr.planes import mip as mip
    from gpukit.rendering.mpr.planes import mpr as mpr
    from gpukit.rendering.scene.camera import render as render
    from gpukit.segmentation import Label as Label
    from gpukit.segmentation import Segmentation as Segmentation
    from gpukit.transfers import count_transfers as count_transfers
    from gpukit.volume import SourceInstance as SourceInstance
    from gpukit.volume import Volume as Volume


def __getattr__(name: str) -> Any:
    if name in _NAMESPACES:
        return import_module(f"gpukit.{name}")
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gpukit' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
