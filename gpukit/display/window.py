"""Choose the window that a picture is shown with."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gpukit.errors import InputError, UnitError
from gpukit.units import ValueUnit
from gpukit.volume import Voi, Volume

__all__ = ["PRESETS", "header_window", "window_of"]


#: Customary CT windows, (centre, width) in HU.
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


def window_of(
    volume: Volume,
    *,
    preset: str | None = None,
    center: float | None = None,
    width: float | None = None,
    usual: str | None = None,
) -> tuple[float, float] | None:
    """The values shown black and white.

    Parameters
    ----------
    volume : Volume
        Whose values and header decide.
    preset : str, optional
        One of `PRESETS`; for CT in Hounsfield units only.
    center, width : float, optional
        Both or neither; the width is positive.
    usual : str, optional
        A preset for Hounsfield units that comes before the header's window, which is made for slices and not for what
        remains of many.

    Returns
    -------
    (float, float) or None
        What was asked for, else for Hounsfield units the `usual` one, else the series' own first window, else for
        Hounsfield units the soft tissue window, else None: the range of the picture.

    Raises
    ------
    InputError
        The preset is unknown, or the window is half given, empty or given twice.
    UnitError
        A preset for values that are no Hounsfield units.
    """
    if preset is not None:
        if center is not None or width is not None:
            raise InputError("a preset and a window exclude one another", attribute="preset", fix="give one of them")
        if preset not in PRESETS:
            raise InputError(f"there is no window {preset!r}", attribute="preset", fix=f"use {', '.join(PRESETS)}")
        if volume.unit != ValueUnit.HU:
            raise UnitError(
                f"the window {preset!r} is in Hounsfield units and the volume is in {volume.unit}", attribute="preset",
                fix="give a window's centre and width",
            )  # fmt: skip
        center, width = PRESETS[preset]
    if center is None and width is None:
        known = volume.unit == ValueUnit.HU
        found = None if known and usual is not None else header_window(volume.metadata)
        if found is not None or not known:
            return found
        center, width = PRESETS[usual or "soft-tissue"]
    if center is None or width is None:
        raise InputError("a window needs a centre and a width", attribute="window", fix="give both")
    if not (math.isfinite(center) and math.isfinite(width) and width > 0):
        raise InputError(f"no window has the centre {center:g} and the width {width:g}", attribute="window")
    return center - width / 2, center + width / 2


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
