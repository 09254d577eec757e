"""The frame as it wants to be seen (PS3.4 N.2): window, inversion, padding, colour; after a reduction on its values."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.display.area_mean import area_mean
from gpukit.display.frame_values import FrameValues, frame_values
from gpukit.volume import Voi

__all__ = ["apply_voi", "default_voi", "present", "show_values"]


def present(
    frame: Frame,
    *,
    voi: Voi | None = None,
    invert: bool = False,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """One frame as a picture.

    Parameters
    ----------
    frame : Frame
        Any object with pixels, see `gpukit.display.frames.frame_at`.
    voi : Voi, optional
        Window; the image's own first one by default, else its range.
    invert : bool
        Turn black and white round.
    size : (rows, columns), optional
        Of the result; the frame's own by default. Each pixel is the mean of its area, taken on values.

    Returns
    -------
    array of uint8, ``[row, column]`` or ``[row, column, 3]``
        Pixels are not made square: see `gpukit.display.frame_values.pixel_aspect`.

    Raises
    ------
    FormatError, DecodeError, TooLargeError
        The pixels are damaged, cannot be decoded, or are larger than the file or the machine can hold.
    """
    return show_values(frame_values(frame), voi=voi, invert=invert, size=size)


def default_voi(values: FrameValues) -> Voi:
    """The first window that the image names, else its full range."""
    if values.windows:
        return values.windows[0].voi
    return window_of_range(values.full_range)


def window_of_range(ends: tuple[float, float]) -> Voi:
    """The window that shows one value black and another one white."""
    low, high = ends
    return Voi((low + high) / 2, max(high - low, 1e-12 * max(1.0, abs(high))), "LINEAR_EXACT")


def show_values(
    values: FrameValues,
    *,
    voi: Voi | None = None,
    invert: bool = False,
    size: tuple[int, int] | None = None,
    box: tuple[float, float, float, float] | None = None,
) -> NDArray[np.uint8]:
    """Values of a frame as a picture; parameters as of `present`, and `box` (top, left, bottom, right) in pixels."""
    reduced, share = reduce_values(values, size, box)
    return grey_of(values, reduced, share, voi=voi, invert=invert)


def reduce_values(
    values: FrameValues,
    size: tuple[int, int] | None,
    box: tuple[float, float, float, float] | None = None,
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Mean values ``[rows, columns]`` of the areas, and the share of each that is valid (None for all).

    What `grey_of` takes; kept by those who change the window many times.
    """
    stored, valid = values.stored, values.valid
    if size is None:
        if values.is_color:
            return stored, None
        share = None if valid is None else valid.astype(np.float32)
        return values.slope * stored.astype(np.float64) + values.intercept, share
    rows, columns = size
    if values.is_color:
        return area_mean(stored, rows, columns, box), None
    if valid is None:
        means, share = area_mean(stored, rows, columns, box), None
    else:
        share = area_mean(valid, rows, columns, box)
        sums = area_mean(np.where(valid, stored, stored.dtype.type(0)), rows, columns, box)
        means = np.divide(sums, share, out=np.zeros_like(sums), where=share > 0)
    if values.slope == 1 and values.intercept == 0:
        return means, share
    return values.slope * means + values.intercept, share


def grey_of(
    values: FrameValues,
    reduced: NDArray[Any],
    share: NDArray[Any] | None,
    *,
    voi: Voi | None = None,
    invert: bool = False,
) -> NDArray[np.uint8]:
    """The picture of what `reduce_values` gave."""
    if values.is_color:
        picture = np.rint(reduced).astype(np.uint8) if reduced.dtype != np.uint8 else reduced
        return 255 - picture if invert else picture
    shown = apply_voi(reduced, voi if voi is not None else default_voi(values))
    if values.inverse != invert:
        shown = 1.0 - shown
    if share is not None:
        shown = shown * share  # padding is black, whatever the direction of the grey
    return np.rint(shown * 255.0).astype(np.uint8)


def apply_voi(values: NDArray[Any], voi: Voi) -> NDArray[Any]:
    """Values to 0 (black) ... 1 (white) by PS3.3 C.11.2.1.2 and C.11.2.1.3; a table between its entries in steps."""
    if voi.function == "LUT":
        entries = np.asarray(voi.lut)
        return entries[np.clip(np.rint(values - voi.first).astype(np.int64), 0, len(entries) - 1)]
    center, width = voi.center, voi.width
    if voi.function == "SIGMOID":
        with np.errstate(over="ignore"):
            return 1.0 / (1.0 + np.exp(-4.0 * (values - center) / width))
    if voi.function == "LINEAR":
        if width <= 1:
            return (values > center - 0.5).astype(np.float32)
        return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)
    return np.clip((values - center) / width + 0.5, 0.0, 1.0)
