"""Which window an image is shown with: the one that was asked for, a preset, the image's own, or its range.

Everything that shows values asks here, and `gpukit.ops.windowing` applies the answer: pictures, montages, overlays,
networks over images and derived DICOM images are windowed alike.

A center and a width have DICOM's meaning everywhere, in a header and when a user asks for them: the function LINEAR
goes from ``center - 0.5 - (width - 1) / 2`` to ``center - 0.5 + (width - 1) / 2`` (PS3.3 C.11.2.1.2.1), which counts
whole numbers. A center and a width that a user asks for have the image's own function where that is SIGMOID or
LINEAR_EXACT. Otherwise, for values that are not counted in whole numbers, such as SUV, and for widths below 1, they
have LINEAR_EXACT too: ``center - width / 2`` to ``center + width / 2``.
"""

from __future__ import annotations

import math
from typing import Any

from array_api_compat import device as place_of

from gpukit.device import array_namespace
from gpukit.dicom.image.voi_lut import header_voi, own_voi
from gpukit.errors import InputError, UnitError
from gpukit.ops._arrays import invalid, is_floating, signed
from gpukit.ops.statistics import Statistics, percentiles, statistics
from gpukit.ops.windowing import Window, as_voi
from gpukit.units import ValueUnit
from gpukit.volume import Voi, Volume

__all__ = ["PRESETS", "Window", "as_voi", "choose", "header_voi", "own_voi", "robust_range", "value_range"]

#: Customary CT windows, (center, width) in HU.
PRESETS: dict[str, tuple[float, float]] = {
    "abdomen": (50, 400),
    "angio": (300, 600),
    "bone": (400, 1800),
    "brain": (40, 80),
    "liver": (90, 150),
    "lung": (-600, 1500),
    "mediastinum": (50, 350),
    "soft-tissue": (40, 400),
    "subdural": (75, 215),
}

#: Units whose values are counted in whole numbers: a center and a width mean LINEAR.
_COUNTED = {ValueUnit.HU, ValueUnit.NONE}


def choose(
    volume: Volume,
    *,
    preset: str | None = None,
    center: float | None = None,
    width: float | None = None,
    usual: str | None = None,
) -> Voi | None:
    """Choose one window for a volume.

    Parameters
    ----------
    volume : Volume
        Whose values and header decide.
    preset : str, optional
        One of `PRESETS`; for CT in Hounsfield units only.
    center, width : float, optional
        Both or neither; the width is positive.
    usual : str, optional
        A preset for Hounsfield units that comes before the image's own window, which is made for slices and not for
        what remains of many.

    Returns
    -------
    Voi or None
        What was asked for, else for Hounsfield units the `usual` one, else the image's own (`own_voi`, of the middle
        slice), else for Hounsfield units the soft tissue window, else None: the range of the picture.

    Raises
    ------
    InputError
        The preset is unknown, or the window is half given, empty or given twice.
    UnitError
        A preset for values that are not Hounsfield units.
    """
    if preset is not None:
        if center is not None or width is not None:
            raise InputError("a preset and a window exclude one another", attribute="preset", fix="give one of them")
        if preset not in PRESETS:
            raise InputError(f"there is no window {preset!r}", attribute="preset", fix=f"use {', '.join(PRESETS)}")
        if volume.unit != ValueUnit.HU:
            raise UnitError(
                f"the window {preset!r} is in Hounsfield units and the volume is in {volume.unit}", attribute="preset",
                fix="give a window's center and width",
            )  # fmt: skip
        center, width = PRESETS[preset]
        return Voi(float(center), float(width))
    if center is None and width is None:
        in_hu = volume.unit == ValueUnit.HU
        own = None if in_hu and usual is not None else own_voi(volume)
        if own is not None or not in_hu:
            return own
        center, width = PRESETS[usual or "soft-tissue"]
        return Voi(float(center), float(width))
    if center is None or width is None:
        raise InputError("a window needs a center and a width", attribute="window", fix="give both")
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        raise InputError(
            f"a window cannot have the center {center:g} and the width {width:g}", attribute="window",
            fix="give finite numbers and a positive width",
        )  # fmt: skip
    own = own_voi(volume)
    function = "LINEAR" if volume.unit in _COUNTED and width >= 1 else "LINEAR_EXACT"
    if own is not None and own.function in ("SIGMOID", "LINEAR_EXACT"):
        function = own.function
    return Voi(float(center), float(width), function)


def value_range(array: Any, padding: tuple[float, float] | None = None) -> tuple[float, float] | None:
    """Lowest and highest measured value of an array on any device; None where nothing was measured."""
    xp = array_namespace(array)
    array = signed(xp, array)
    nothing = invalid(xp, array, padding)
    if is_floating(xp, array.dtype):
        infinite = xp.isinf(array)
        nothing = infinite if nothing is None else nothing | infinite
    values = array if nothing is None else array[~nothing]
    if not values.shape or 0 in values.shape:
        return None
    return float(xp.min(values)), float(xp.max(values))


def robust_range(volume: Volume) -> tuple[float, float]:
    """From the lowest value to the 99.5th percentile of what is above it: pictures of many slices without a window.

    A thinned grid of at most 96 voxels along each axis is looked at.
    """
    xp = array_namespace(volume.array)
    thin = volume.array[tuple(slice(None, None, max(1, int(n) // 96)) for n in volume.array.shape)]
    if is_floating(xp, thin.dtype):
        nan = xp.asarray(float("nan"), dtype=thin.dtype, device=place_of(thin))
        thin = xp.where(xp.isinf(thin), nan, thin)
    measured = statistics(thin, padding=volume.padding)  # where the image is: only numbers leave the device
    assert isinstance(measured, Statistics)
    if not measured.n:
        return 0.0, 1.0
    low = float(measured.min)
    (high,) = percentiles(thin, (99.5,), thin > low, padding=volume.padding)
    return low, max(low + 1.0 if math.isnan(high) else high, low + 1e-6)
