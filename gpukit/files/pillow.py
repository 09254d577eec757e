"""Pillow, and letters of one size, for everything that draws: loaded when something is drawn."""

from __future__ import annotations

from typing import Any

from gpukit.extras import missing_package

__all__ = ["font", "pillow"]


def pillow(purpose: str = "pictures need", extra: str = "files") -> tuple[Any, Any]:
    """Return the modules ``PIL.Image`` and ``PIL.ImageDraw``.

    Parameters
    ----------
    purpose : str
        What needs them, with the verb, for the message.
    extra : str
        The extra that brings Pillow.

    Raises
    ------
    DependencyError
        Pillow is missing.
    """
    try:
        from PIL import Image, ImageDraw
    except ImportError as error:
        raise missing_package(f"{purpose} Pillow", extra) from error
    return Image, ImageDraw


def font(size: int) -> Any:
    """Pillow's own letters, `size` pixels high (of one size only before Pillow 10.1)."""
    from PIL import ImageFont

    try:
        return ImageFont.load_default(size)
    except TypeError:
        return ImageFont.load_default()
