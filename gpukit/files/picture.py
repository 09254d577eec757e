"""One slice as a PNG, through Pillow."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import DependencyError, InputError, OutputError, SelectionError
from gpukit.files.atomic import atomic_path
from gpukit.volume import Voi, Volume

__all__ = ["header_window", "is_inverse", "shown_plane", "write_picture"]

_INCH = 25.4  # mm


def write_picture(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    window: tuple[float, float] | None = None,
    slice: int | None = None,
    rulers: bool = False,
    force: bool = False,
) -> None:
    """Write one slice as an 8-bit PNG, its first row on top.

    Parameters
    ----------
    volume : Volume
        3D, grey or colour; on any device.
    path : path-like
        ``.png``.
    window : (float, float) or None
        The values shown black and white (MONOCHROME1: white and black), linear between; None takes the series' own
        WindowCenter and WindowWidth, else the range of the slice without its padding. Colour is written as it is.
        Padding and NaN are black.
    slice : int or None
        Index k from 0; may be None where there is only one slice.
    rulers : bool
        Rulers in mm beside the picture, see `gpukit.files.ruler`.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    SelectionError
        There are several slices (or phases) and none is named, or the one named is not there.
    InputError
        The window is not finite or is empty.
    OutputExistsError
        The file exists and `force` is false.
    """
    try:
        from PIL import Image
    except ImportError as error:
        raise DependencyError("pictures need Pillow", fix='pip install "gpukit[files]"') from error
    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", file=path, fix="choose one before saving a picture")
    count = volume.grid.shape[0]
    if slice is None and count > 1:
        raise SelectionError(f"the volume has {count} slices and a picture shows one", file=path, fix="name the slice")
    index = slice or 0
    if not 0 <= index < count:
        raise SelectionError(f"there is no slice {index} among {count}", file=path)
    plane = shown_plane(volume, window=window, slice=index)
    if plane.dtype != np.uint8:
        raise OutputError(f"colour of type {plane.dtype} is not 8 bit", file=path)
    si, sj, _ = volume.grid.spacing
    if rulers:
        from gpukit.files.ruler import with_rulers

        plane = with_rulers(plane, si, sj)
    with atomic_path(path, force=force) as temporary:
        Image.fromarray(plane).save(os.fspath(temporary), format="PNG", dpi=(_INCH / si, _INCH / sj))


def shown_plane(volume: Volume, *, window: tuple[float, float] | None = None, slice: int = 0) -> NDArray[Any]:
    """One slice as `write_picture` shows it: ``[row, column]`` uint8, or colour as it is; on the host."""
    plane = np.asarray(volume.with_array(volume.array).to("cpu").array[slice])
    if volume.axes.endswith("c"):
        return plane
    return _grey(plane, window or header_window(volume.metadata), volume.padding, inverse=is_inverse(volume))


def is_inverse(volume: Volume) -> bool:
    """Whether its lowest values are meant to be shown white (MONOCHROME1, PS3.3 C.7.6.3.1.2)."""
    return not volume.axes.endswith("c") and volume.metadata.get("PhotometricInterpretation") == "MONOCHROME1"


def header_window(metadata: Mapping[str, Any]) -> tuple[float, float] | None:
    """What a series' first window shows black and white, by DICOM PS3.3 C.11.2.1.2; None without one.

    Of a window whose VOILUTFunction is SIGMOID, the two ends of its width, as of LINEAR_EXACT.
    """
    values = []
    for keyword in ("WindowCenter", "WindowWidth"):
        value = metadata.get(keyword)
        if isinstance(value, (list, tuple)):
            value = value[0] if value else None
        try:
            values.append(float(value))  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
    centre, width = values
    function = str(metadata.get("VOILUTFunction") or "LINEAR").upper()
    if not math.isfinite(centre) or not (width >= 1 if function == "LINEAR" else width > 0):
        return None
    return Voi(centre, width, function).limits


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
