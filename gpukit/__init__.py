"""gpukit: GPU-first medical imaging. Public names load on first use, so that importing gpukit costs next to nothing."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

#: Public name -> module that defines it. Pinned by a test.
_PUBLIC = {
    "Box": "gpukit.measure.shapes",
    "Circle": "gpukit.measure.shapes",
    "DeviceInfo": "gpukit.device",
    "Ellipse": "gpukit.measure.shapes",
    "GpukitError": "gpukit.errors",
    "Grid": "gpukit.geometry",
    "Label": "gpukit.volume",
    "Measurement": "gpukit.measure.results",
    "Polygon": "gpukit.measure.shapes",
    "Quantity": "gpukit.measure.results",
    "Segmentation": "gpukit.volume",
    "SourceInstance": "gpukit.volume",
    "Sphere": "gpukit.measure.shapes",
    "Volume": "gpukit.volume",
    "angle": "gpukit.measure.angles",
    "area": "gpukit.measure.areas",
    "bidirectional": "gpukit.measure.bidirectional",
    "cobb_angle": "gpukit.measure.angles",
    "classify": "gpukit.ai.classification",
    "compare": "gpukit.measure.compare",
    "count_transfers": "gpukit.transfers",
    "detect": "gpukit.ai.detection",
    "devices": "gpukit.device",
    "distance": "gpukit.measure.lengths",
    "enhance": "gpukit.ai.enhancement",
    "explain": "gpukit.device",
    "find_series": "gpukit.opening",
    "hu": "gpukit.measure.values",
    "mip": "gpukit.render.planes",
    "mpr": "gpukit.render.planes",
    "open": "gpukit.opening",
    "open_mask": "gpukit.masking",
    "pixel": "gpukit.measure.values",
    "polyline": "gpukit.measure.lengths",
    "render": "gpukit.render",
    "roi": "gpukit.measure.values",
    "save": "gpukit.saving",
    "segment": "gpukit.ai",
    "suv": "gpukit.measure.suv",
    "suv_volume": "gpukit.measure.suv",
    "volume": "gpukit.volume",
}

__all__ = ["__version__", *sorted(_PUBLIC)]

if TYPE_CHECKING:
    from gpukit.ai import segment as segment
    from gpukit.ai.classification import classify as classify
    from gpukit.ai.detection import detect as detect
    from gpukit.ai.enhancement import enhance as enhance
    from gpukit.device import DeviceInfo as DeviceInfo
    from gpukit.device import devices as devices
    from gpukit.device import explain as explain
    from gpukit.errors import GpukitError as GpukitError
    from gpukit.geometry import Grid as Grid
    from gpukit.masking import open_mask as open_mask
    from gpukit.measure.angles import angle as angle
    from gpukit.measure.angles import cobb_angle as cobb_angle
    from gpukit.measure.areas import area as area
    from gpukit.measure.bidirectional import bidirectional as bidirectional
    from gpukit.measure.compare import compare as compare
    from gpukit.measure.lengths import distance as distance
    from gpukit.measure.lengths import polyline as polyline
    from gpukit.measure.results import Measurement as Measurement
    from gpukit.measure.results import Quantity as Quantity
    from gpukit.measure.shapes import Box as Box
    from gpukit.measure.shapes import Circle as Circle
    from gpukit.measure.shapes import Ellipse as Ellipse
    from gpukit.measure.shapes import Polygon as Polygon
    from gpukit.measure.shapes import Sphere as Sphere
    from gpukit.measure.suv import suv as suv
    from gpukit.measure.suv import suv_volume as suv_volume
    from gpukit.measure.values import hu as hu
    from gpukit.measure.values import pixel as pixel
    from gpukit.measure.values import roi as roi
    from gpukit.measure.volumes import volume as volume
    from gpukit.opening import find_series as find_series
    from gpukit.opening import open as open
    from gpukit.render.camera import render as render
    from gpukit.render.planes import mip as mip
    from gpukit.render.planes import mpr as mpr
    from gpukit.saving import save as save
    from gpukit.transfers import count_transfers as count_transfers
    from gpukit.volume import Label as Label
    from gpukit.volume import Segmentation as Segmentation
    from gpukit.volume import SourceInstance as SourceInstance
    from gpukit.volume import Volume as Volume


def __getattr__(name: str) -> Any:
    if name not in _PUBLIC:
        raise AttributeError(f"module 'gpukit' has no attribute {name!r}")
    module = import_module(_PUBLIC[name])
    # Modules that can be called: they stay what they are, whoever imports them.
    value = module if name in ("render", "volume") else getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
