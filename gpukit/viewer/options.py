"""What a user asks of the viewer, checked once."""

from __future__ import annotations

import math
from dataclasses import dataclass

from gpukit.display.frame_values import FrameValues, NamedWindow
from gpukit.display.presentation import default_voi, window_of_range
from gpukit.display.window import PRESETS
from gpukit.errors import InputError, UnitError
from gpukit.viewer.encoding.cells import CELLS, RAMPS
from gpukit.viewer.encoding.colors import COLORS
from gpukit.volume import Voi

__all__ = ["MODES", "ViewOptions", "choose_window"]

MODES = ("auto", "ascii", "ansi", "iterm2", "kitty", "sixel")


@dataclass(frozen=True, kw_only=True)
class ViewOptions:
    """How images are shown.

    Parameters
    ----------
    mode : str
        One of `MODES`.
    quality : str
        Of ascii: ``low`` (10 letters) or ``high``.
    colors : str
        Of ansi: ``24bit``, ``256`` or ``16``.
    cells : str
        Of ansi: ``half``, ``quadrant``, ``sextant`` or ``braille``.
    center, width : float, optional
        Window; both or neither.
    preset : str, optional
        A CT window by name, one of the image's own by its name or number, or ``range``.
    percentile : (float, float), optional
        Show the values at these two percentiles black and white.
    invert : bool
        Turn black and white round.
    zoom : float
        1 shows the whole image.
    show_info, show_overlay, patient : bool
        Lines of information; overlays, shutters and graphics; whether the lines say who the person is.
    """

    mode: str = "auto"
    quality: str = "high"
    colors: str = "24bit"
    cells: str = "half"
    center: float | None = None
    width: float | None = None
    preset: str | None = None
    percentile: tuple[float, float] | None = None
    invert: bool = False
    zoom: float = 1.0
    show_info: bool = False
    show_overlay: bool = False
    patient: bool = True

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("mode", self.mode, MODES), ("quality", self.quality, tuple(RAMPS)), ("color", self.colors, COLORS),
            ("cells", self.cells, CELLS),
        ):  # fmt: skip
            if value not in allowed:
                raise InputError(f"{value!r} is not a {name}", attribute=name, fix=f"use one of {', '.join(allowed)}")
        if (self.center is None) != (self.width is None):
            raise InputError("a window needs a center and a width", attribute="window", fix="give both")
        if self.center is not None and self.width is not None and not (
            math.isfinite(self.center) and math.isfinite(self.width) and self.width > 0
        ):  # fmt: skip
            raise InputError(
                f"a window cannot have the center {self.center:g} and the width {self.width:g}", attribute="window",
                fix="give finite numbers and a positive width",
            )  # fmt: skip
        ways = [self.center is not None, self.preset is not None, self.percentile is not None]
        if sum(ways) > 1:
            raise InputError(
                "a window, a preset and percentiles exclude one another", attribute="window", fix="give one of them"
            )
        if self.percentile is not None and not 0 <= self.percentile[0] < self.percentile[1] <= 100:
            raise InputError(
                f"{self.percentile[0]:g},{self.percentile[1]:g} are not percentiles", attribute="percentile",
                fix="give two numbers from 0 to 100, the lower one first",
            )  # fmt: skip
        if not (math.isfinite(self.zoom) and 1 <= self.zoom <= 64):
            raise InputError(f"the zoom {self.zoom:g} is not possible", attribute="zoom", fix="give 1 to 64")


def choose_window(values: FrameValues, options: ViewOptions, *, is_ct: bool) -> NamedWindow:
    """The window that was asked for, else the image's own first one, else its range.

    Raises
    ------
    InputError
        There is no such preset.
    UnitError
        A CT window for an image that is not a CT.
    """
    own = default_voi(values)
    if options.center is not None and options.width is not None:
        function_name = values.windows[0].voi.function if values.windows else "LINEAR"
        function = function_name if function_name in ("SIGMOID", "LINEAR_EXACT") else "LINEAR"
        if function == "LINEAR" and options.width < 1:
            function = "LINEAR_EXACT"
        return NamedWindow("", Voi(options.center, options.width, function))
    if options.percentile is not None:
        low, high = options.percentile
        return NamedWindow(f"{low:g} to {high:g} %", window_of_range(values.percentiles(low, high)))
    if options.preset is not None:
        return preset_window(values, options.preset, is_ct=is_ct)
    return values.windows[0] if values.windows else NamedWindow("range", own)


def preset_window(values: FrameValues, name: str, *, is_ct: bool) -> NamedWindow:
    """A window by its name; errors as of `choose_window`."""
    key = name.strip().lower()
    if key == "range":
        return NamedWindow("range", window_of_range(values.range))
    for n, window in enumerate(values.windows, 1):
        if key in (str(n), window.name.strip().lower()):
            return window
    if key not in PRESETS:
        allowed = [window.name or str(n) for n, window in enumerate(values.windows, 1)] + [*PRESETS, "range"]
        raise InputError(f"there is no window {name!r}", attribute="preset", fix=f"use one of {', '.join(allowed)}")
    if not is_ct:
        raise UnitError(
            f"the window {name!r} is in Hounsfield units and the image is not a CT", attribute="preset",
            fix="give a window's center and width",
        )  # fmt: skip
    center, width = PRESETS[key]
    return NamedWindow(key, Voi(float(center), float(width)))


def preset_list(values: FrameValues, *, is_ct: bool) -> list[NamedWindow]:
    """Windows of the number keys: the image's own, then those of CT, then percentiles, then the range."""
    listed = list(values.windows)
    if is_ct:
        listed += [NamedWindow(name, Voi(float(center), float(width))) for name, (center, width) in PRESETS.items()]
    for low, high in ((1.0, 99.0), (5.0, 95.0)):
        listed.append(NamedWindow(f"{low:g} to {high:g} %", window_of_range(values.percentiles(low, high))))
    listed.append(NamedWindow("range", window_of_range(values.range)))
    return listed
