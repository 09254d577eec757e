"""Colours for labels that name none."""

from __future__ import annotations

import colorsys

from gpukit.volume import Label

__all__ = ["label_color"]

#: Turning the hue by the golden ratio puts neighbouring values far apart, however many there are.
_GOLDEN = 0.6180339887498949


def label_color(label: Label) -> tuple[int, int, int]:
    """The label's own sRGB colour, or a stable one that follows from its value.

    Parameters
    ----------
    label : Label
        Any label.

    Returns
    -------
    tuple of int
        Red, green, blue, 0 to 255. Two values below 20 never get the same colour.
    """
    if label.color is not None:
        return label.color
    hue = (0.02 + (label.value - 1) * _GOLDEN) % 1.0
    saturation = (0.85, 0.6)[(label.value - 1) // 12 % 2]
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, (1.0, 0.8)[(label.value - 1) // 6 % 2])
    return round(255 * red), round(255 * green), round(255 * blue)
