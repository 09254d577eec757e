"""From the values of a plane to grey levels."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.display.window import header_window
from gpukit.errors import InputError
from gpukit.volume import Volume

__all__ = ["is_inverse", "shown_plane"]


def shown_plane(volume: Volume, *, window: tuple[float, float] | None = None, slice: int = 0) -> NDArray[Any]:
    """One slice as `write_picture` shows it: ``[row, column]`` uint8, or colour as it is; on the host."""
    plane = np.asarray(volume.with_array(volume.array).to("cpu").array[slice])
    if volume.axes.endswith("c"):
        return plane
    return _grey(plane, window or header_window(volume.metadata), volume.padding, inverse=is_inverse(volume))


def is_inverse(volume: Volume) -> bool:
    """Whether its lowest values are meant to be shown white (MONOCHROME1, PS3.3 C.7.6.3.1.2)."""
    return not volume.axes.endswith("c") and volume.metadata.get("PhotometricInterpretation") == "MONOCHROME1"


def value_range(volume: Volume) -> tuple[float, float] | None:
    """Lowest and highest measured value over all slices and phases, so that pictures of them compare; None for none."""
    values = np.asarray(volume.to("cpu").array)
    valid = _valid(values, volume.padding)
    return (float(values[valid].min()), float(values[valid].max())) if valid.any() else None


def _valid(values: NDArray[Any], padding: tuple[float, float] | None) -> NDArray[np.bool_]:
    valid: NDArray[np.bool_] = np.isfinite(values)
    if padding is not None:
        valid &= ~((values >= padding[0]) & (values <= padding[1]))
    return valid


def _grey(
    plane: NDArray[Any],
    window: tuple[float, float] | None,
    padding: tuple[float, float] | None,
    *,
    inverse: bool = False,
) -> NDArray[np.uint8]:
    values = plane.astype(np.float64)
    valid = _valid(values, padding)
    if window is None:
        window = (float(values[valid].min()), float(values[valid].max())) if valid.any() else (0.0, 1.0)
    low, high = window
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"the window {window} is empty or not finite", fix="give its lowest and its highest value")
    # A window of width one is a threshold.
    shown = (values > high).astype(np.float64) if low == high else (values - low) / (high - low)
    shown = np.clip(shown, 0.0, 1.0)
    shown = np.where(valid, 1.0 - shown if inverse else shown, 0.0)
    grey: NDArray[np.uint8] = np.rint(shown * 255.0).astype(np.uint8)
    return grey
