"""A slice as it is shown: 8-bit gray through its window, or colour as it is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.dicom.image.voi_lut import is_inverse
from gpukit.display.window import Window, as_voi, own_voi, value_range
from gpukit.ops.windowing import apply_voi, gray_levels
from gpukit.volume import Volume

__all__ = ["gray_plane", "is_inverse", "shown_plane"]


def gray_plane(volume: Volume, array: Any, window: Window | None) -> Any:
    """Values of a volume as gray levels.

    Parameters
    ----------
    volume : Volume
        Says what is padding, and whether low values are shown white.
    array : array of real numbers, any shape
        Some of its values, on any device.
    window : Voi, (float, float) or None
        None takes the range of `array`.

    Returns
    -------
    array of uint8
        On the device of `array`.
    """
    limits = window or value_range(array, volume.padding) or (0.0, 1.0)
    shades = apply_voi(array, as_voi(limits), padding=volume.padding, inverse=is_inverse(volume))
    return gray_levels(shades)


def shown_plane(volume: Volume, *, window: Window | None = None, slice: int = 0) -> NDArray[Any]:
    """One slice as it is shown.

    Parameters
    ----------
    volume : Volume
        3D, gray or colour; on any device, where the window is applied.
    window : Voi, (float, float) or None
        A VOI function, or the values shown black and white; None takes the slice's own window
        (`gpukit.display.window.own_voi`), else the range of the slice without its padding.
    slice : int
        Index k.

    Returns
    -------
    uint8 array, (rows, columns), on the host
        Colour as it is, (rows, columns, 3).
    """
    plane = volume.array[slice]
    if volume.axes.endswith("c"):
        return np.asarray(move(plane, "cpu"))
    return np.asarray(move(gray_plane(volume, plane, window or own_voi(volume, slice)), "cpu"))
