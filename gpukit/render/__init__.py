"""Tool ``3d``: planes, projections and pictures of volumes. The arithmetic is in `gpukit.ops`; this composes it."""

from __future__ import annotations

from gpukit.render.planes import mip, mpr
from gpukit.render.windows import PRESETS, window_of

__all__ = ["PRESETS", "mip", "mpr", "window_of"]
