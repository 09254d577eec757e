"""Tool ``3d``: planes, projections and pictures of volumes. The arithmetic is in `gpukit.ops`; this composes it.

``gpukit.render`` is this package and, called, the function `gpukit.render.camera.render`, whichever of the two a
program meets first.
"""

from __future__ import annotations

import sys
from types import ModuleType

from gpukit.render.camera import render as _render
from gpukit.render.planes import mip, mpr
from gpukit.render.transfer import Transfer, read_transfer
from gpukit.render.windows import PRESETS, window_of

__all__ = ["PRESETS", "Transfer", "mip", "mpr", "read_transfer", "window_of"]


class _Callable(ModuleType):
    """A module that can be called: importing a submodule sets `gpukit.render` to the module, at any time."""

    __call__ = staticmethod(_render)


sys.modules[__name__].__class__ = _Callable
