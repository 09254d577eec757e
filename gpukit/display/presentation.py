"""The frame as it wants to be seen (PS3.4 N.2): window, inversion, padding, colour; after a reduction on its values."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.dicom.image.overlay_planes import OVERLAY_GROUPS, OverlayPlane, overlay_planes, overlays_of_dataset
from gpukit.display.area_mean import area_mean
from gpukit.display.frame_values import FrameValues, NamedWindow, frame_values, mentions
from gpukit.display.shutters import Shutter, frame_shutter, shutter_of
from gpukit.display.turn import Turn
from gpukit.ops.windowing import apply_voi, check_voi, shades
from gpukit.volume import Voi

if TYPE_CHECKING:
    from gpukit.dicom.pr.apply import FrameState, PresentationState

__all__ = ["DisplayFrame", "default_voi", "display_frame", "present", "show_values", "window_of_range"]


def present(
    frame: Frame,
    *,
    voi: Voi | None = None,
    invert: bool = False,
    overlays: bool = False,
    state: PresentationState | None = None,
    size: tuple[int, int] | None = None,
) -> NDArray[np.uint8]:
    """One frame as a picture.

    Parameters
    ----------
    frame : Frame
        Any object with pixels, see `gpukit.display.frames.frame_at`.
    voi : Voi, optional
        Window; that of the state, the image's own first one, or its range by default.
    invert : bool
        Turn black and white round.
    overlays : bool
        Show overlay planes in white and display shutters. Graphics are not drawn.
    state : PresentationState, optional
        Of `gpukit.dicom.pr.apply.read_state`: its tables, windows, rotation, flip, shutters and overlays.
    size : (rows, columns), optional
        Of the result; the frame's own by default. Each pixel is the mean of its area, taken on values.

    Returns
    -------
    array of uint8, ``[row, column]`` or ``[row, column, 3]``
        Pixels are not made square: see `gpukit.display.frame_values.pixel_aspect`.

    Raises
    ------
    InputError
        The state is not for this frame.
    FormatError, DecodeError, TooLargeError
        The pixels are damaged, cannot be decoded, or are larger than the file or the machine can hold.
    """
    shown = display_frame(frame, state=state)
    return shown.picture(voi=voi, invert=invert, size=size, overlays=overlays)


@dataclass(eq=False)
class DisplayFrame:
    """A frame decoded and turned as it is shown, with what lies on it; windows and sizes are chosen later.

    Parameters
    ----------
    frame : Frame
        Where it comes from.
    values : FrameValues
        Turned.
    turn : Turn
        Which was applied.
    state : FrameState or None
        What a presentation state says.
    notes : list of str
        What could not be used.
    """

    frame: Frame
    values: FrameValues
    turn: Turn = field(default_factory=Turn)
    state: FrameState | None = None
    notes: list[str] = field(default_factory=list)
    _kept: dict[str, Any] = field(default_factory=dict, repr=False)

    def picture(
        self,
        *,
        voi: Voi | None = None,
        invert: bool = False,
        size: tuple[int, int] | None = None,
        box: tuple[float, float, float, float] | None = None,
        overlays: bool = False,
    ) -> NDArray[np.uint8]:
        """The picture; parameters as of `present` and `show_values`."""
        key = (size, box)
        if self._kept.get("key") != key:  # a new window costs no new means
            self._kept["key"], self._kept["means"] = key, reduce_values(self.values, size, box)
        reduced, share = self._kept["means"]
        picture = grey_of(self.values, reduced, share, voi=voi, invert=invert)
        return self.cover(picture, size, box) if overlays else picture

    def overlays(self) -> tuple[OverlayPlane, ...]:
        """Overlay planes of the image, and those of the state."""
        if "overlays" not in self._kept:
            header = self.frame.header
            found: tuple[OverlayPlane, ...] = ()
            tags = [(group, element) for group in OVERLAY_GROUPS for element in (0x3000, 0x0102)]
            if any(mentions(header, tag) for tag in tags):
                found = overlay_planes(self.frame, self.notes)
            if self.state is not None:
                found = _activated(found, self.state, self.frame.index)
            self._kept["overlays"] = found
        planes: tuple[OverlayPlane, ...] = self._kept["overlays"]
        return planes

    def cover(
        self,
        picture: NDArray[np.uint8],
        size: tuple[int, int] | None = None,
        box: tuple[float, float, float, float] | None = None,
    ) -> NDArray[np.uint8]:
        """A picture with its shutter, and with its overlay planes in white."""
        rows, columns = self.frame.rows, self.frame.columns
        shutter = self._shutter()
        if shutter is not None:
            share = self._share(shutter.covered, size, box)
            picture = _mixed(picture, share, shutter.grey)
        for plane in self.overlays():
            if self.state is None or plane.layer:
                share = self._share(plane.on_image(rows, columns), size, box)
                picture = _mixed(picture, np.minimum(1.0, 2.0 * share), 255)
        return picture

    def _shutter(self) -> Shutter | None:
        if "shutter" not in self._kept:
            rows, columns = self.frame.rows, self.frame.columns
            if self.state is None:
                self._kept["shutter"] = frame_shutter(self.frame)
            elif self.state.shutter is None:
                self._kept["shutter"] = None
            else:
                planes = overlays_of_dataset(self.state.state, self.frame.index)
                self._kept["shutter"] = shutter_of(self.state.shutter, rows, columns, planes)
        found: Shutter | None = self._kept["shutter"]
        return found

    def _share(
        self, bits: NDArray[np.bool_], size: tuple[int, int] | None, box: tuple[float, float, float, float] | None
    ) -> NDArray[Any]:
        turned = self.turn.array(bits)
        return turned.astype(np.float32) if size is None else area_mean(turned, *size, box)


def display_frame(frame: Frame, *, state: PresentationState | None = None) -> DisplayFrame:
    """Decode a frame for showing, as a presentation state says where there is one.

    Raises
    ------
    InputError
        The state is not for this frame.
    FormatError, DecodeError, TooLargeError
        The pixels are damaged, cannot be decoded, or are larger than the file or the machine can hold.
    """
    if state is None:
        values = frame_values(frame)
        return DisplayFrame(frame, values, notes=list(values.notes))
    told = state.of(frame)
    values = frame_values(frame, modality=told.modality)
    turn = Turn(told.rotation, told.flip)
    aspect = told.aspect if told.aspect is not None else values.aspect
    if not values.is_color:
        values = replace(
            values, windows=tuple(NamedWindow(name, voi) for name, voi in told.windows),
            full_range=values.possible_range, inverse=told.inverse, lut=told.lut, palette=told.palette,
        )  # fmt: skip
    valid = values.valid
    values = replace(
        values, stored=turn.array(values.stored), valid=None if valid is None else turn.array(valid),
        aspect=1 / aspect if told.rotation in (90, 270) else aspect,
    )  # fmt: skip
    return DisplayFrame(frame, values, turn, told, list(values.notes))


def _activated(found: tuple[OverlayPlane, ...], state: FrameState, index: int) -> tuple[OverlayPlane, ...]:
    """The image's overlays with the layers in which a state activates them, and the state's own ones."""
    layers = {
        group: str(item.value or "") for group in OVERLAY_GROUPS
        if (item := state.state.get((group, 0x1001))) is not None
    }  # fmt: skip
    own = overlays_of_dataset(state.state, index)
    groups = {plane.group for plane in own}
    shown = [replace(plane, layer=layers.get(plane.group, "")) for plane in found if plane.group not in groups]
    return tuple(sorted([*shown, *own], key=lambda plane: plane.group))


def _mixed(picture: NDArray[np.uint8], share: NDArray[Any], grey: int) -> NDArray[np.uint8]:
    weight = share if picture.ndim == 2 else share[..., None]
    mixed: NDArray[np.uint8] = np.rint(picture * (1 - weight) + grey * weight).astype(np.uint8)
    return mixed


def default_voi(values: FrameValues) -> Voi:
    """The first window that the image names, else its full range."""
    if values.windows:
        return values.windows[0].voi
    return window_of_range(values.full_range)


def window_of_range(ends: tuple[float, float]) -> Voi:
    """The window that shows one value black and another one white."""
    low, high = ends
    return Voi((low + high) / 2, high - low, "LINEAR_EXACT")


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
    shown = _shades(reduced, voi if voi is not None else default_voi(values))
    if values.lut is not None:
        table = np.asarray(values.lut)
        shown = table[np.rint(shown * (len(table) - 1)).astype(np.intp)]
    if values.inverse != invert:
        shown = 1.0 - shown
    if values.palette is not None:
        colored = values.palette[np.rint(shown * (len(values.palette) - 1)).astype(np.intp)]
        return np.asarray(colored if share is None else np.rint(colored * share[..., None]), np.uint8)
    if share is not None:
        shown = shown * share  # padding is black, whatever the direction of the grey
    return np.rint(shown * 255.0).astype(np.uint8)


def _shades(values: NDArray[Any], voi: Voi) -> NDArray[Any]:
    """Shades of values that are all measured; the first picture of a session does not wait for another namespace."""
    low, high = voi.limits
    if voi.function == "LUT" or low == high or not 1e-30 < high - low < 1e30:
        found: NDArray[Any] = apply_voi(values, voi)
        return found
    window: NDArray[Any] = shades(np, values, check_voi(voi))
    return window
