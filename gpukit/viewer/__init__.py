"""Look at DICOM images in a terminal: ``gpukit viewer``, and `render` for the same bytes in Python."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["render"]

if TYPE_CHECKING:
    from gpukit.viewer.page import render as render


def __getattr__(name: str) -> Any:
    if name != "render":
        raise AttributeError(f"module 'gpukit.viewer' has no attribute {name!r}")
    value = import_module("gpukit.viewer.page").render
    globals()[name] = value
    return value
