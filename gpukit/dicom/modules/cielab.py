"""Colours of labels: where none is named, and as DICOM stores them."""

from __future__ import annotations

import colorsys
from operator import mul

import numpy as np
from numpy.typing import NDArray

from gpukit.segmentation import Label

__all__ = ["from_cielab", "label_color", "to_cielab"]

#: Turning the hue by the golden ratio puts neighbouring values far apart, however many there are.
_GOLDEN = 0.6180339887498949
#: Linear sRGB to XYZ with white D50, the white of DICOM's CIELab (PS3.3 C.10.7.1.1: the ICC profile connection space);
#: Bradford adaptation, from B. Lindbloom's table of RGB/XYZ matrices.
_XYZ_D50: NDArray[np.float64] = np.array(
    [(0.4360747, 0.3850649, 0.1430804), (0.2225045, 0.7168786, 0.0606169), (0.0139322, 0.0971045, 0.7141733)]
)
_WHITE: NDArray[np.float64] = _XYZ_D50.sum(axis=1)
_KNEE = 6 / 29


def label_color(label: Label) -> tuple[int, int, int]:
    """The label's own sRGB colour, or a stable one that follows from its value.

    Parameters
    ----------
    label : Label
        Any label.

    Returns
    -------
    tuple of int
        Red, green, blue, 0 to 255; far apart for neighbouring values.
    """
    if label.color is not None:
        return label.color
    turn = label.value - 1
    hue = (0.02 + turn * _GOLDEN) % 1.0
    red, green, blue = colorsys.hsv_to_rgb(hue, (0.85, 0.6)[turn // 12 % 2], (1.0, 0.8)[turn // 6 % 2])
    return round(255 * red), round(255 * green), round(255 * blue)


def to_cielab(color: tuple[int, int, int]) -> tuple[float, float, float]:
    """CIELab (L* 0 to 100, a*, b*; white D50) of an sRGB colour (0 to 255): IEC 61966-2-1 and CIE 1976."""
    encoded = [part / 255 for part in color]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in encoded]
    ratios = [sum(map(mul, row, linear)) / sum(row) for row in _XYZ_D50.tolist()]
    x, y, z = (ratio ** (1 / 3) if ratio > _KNEE**3 else ratio / (3 * _KNEE**2) + 4 / 29 for ratio in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def from_cielab(lightness: float, a: float, b: float) -> tuple[int, int, int]:
    """The sRGB colour (0 to 255) of a CIELab colour with white D50; what sRGB cannot show is clipped."""
    middle = (lightness + 16) / 116
    f = np.array([middle + a / 500, middle, middle - b / 200])
    xyz = np.where(f > _KNEE, f**3, 3 * _KNEE**2 * (f - 4 / 29)) * _WHITE
    linear = np.clip(np.linalg.solve(_XYZ_D50, xyz), 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    red, green, blue = (int(v) for v in np.rint(255 * encoded))
    return red, green, blue
