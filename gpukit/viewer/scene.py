"""One image with everything that is shown of it, and the picture of it for a size and a window."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.display.area_mean import area_mean
from gpukit.display.frame_values import FrameValues, NamedWindow
from gpukit.display.orientation import border_letters, opposite
from gpukit.display.presentation import DisplayFrame, display_frame
from gpukit.viewer.info import mm_per_pixel, scale_bar
from gpukit.viewer.layout import Box, Fit, Viewport
from gpukit.viewer.picture import Label, Line, Picture, draw_lines

if TYPE_CHECKING:
    from gpukit.dicom.pr.apply import PresentationState
    from gpukit.viewer.companions import ColoredMask, Contours, Measurements, SegmentMasks

__all__ = ["Companions", "Scene", "open_scene"]

_LETTERS = (255, 200, 0)
_BAR = (255, 255, 255)


@dataclass(frozen=True)
class Companions:
    """Other objects that are laid on images.

    Parameters
    ----------
    state : PresentationState or None
        Applied to the images that it refers to.
    segments, lines : tuple
        Segmentations; structure sets and measurements.
    """

    state: PresentationState | None = None
    segments: tuple[SegmentMasks, ...] = ()
    lines: tuple[Contours | Measurements, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing."""
        return self.state is None and not self.segments and not self.lines


@dataclass(eq=False)
class Scene:
    """A frame, decoded once, with what lies on it.

    Parameters
    ----------
    shown : DisplayFrame
        Pixels, turned, with overlays and shutters.
    lines : list of Line
        Graphics, contours, measurements, on the turned pixels.
    masks : list of ColoredMask
        Segments, on the pixels as stored.
    """

    shown: DisplayFrame
    lines: list[Line] = field(default_factory=list)
    masks: list[ColoredMask] = field(default_factory=list)

    @property
    def frame(self) -> Frame:
        """Where it comes from."""
        return self.shown.frame

    @property
    def values(self) -> FrameValues:
        """Its values, turned."""
        return self.shown.values

    @property
    def is_ct(self) -> bool:
        """Whether CT windows make sense."""
        return self.frame.modality == "CT" and not self.values.is_color

    @property
    def rows(self) -> int:
        """Height in pixels."""
        return int(self.values.stored.shape[0])

    @property
    def columns(self) -> int:
        """Width in pixels."""
        return int(self.values.stored.shape[1])

    @property
    def has_layers(self) -> bool:
        """Whether something was asked to be laid on the image."""
        return bool(self.lines or self.masks or self.shown.state is not None)

    def area(self) -> Box:
        """The part that is wanted: all, or the displayed area of a presentation state, which may reach outside."""
        state = self.shown.state
        if state is None or state.area is None:
            return 0.0, 0.0, float(self.rows), float(self.columns)
        left, top, right, bottom = state.area
        corners = np.array([(left, top), (right - 1, bottom - 1)])
        turned = self.shown.turn.points(corners, self.frame.rows, self.frame.columns)
        (left, top), (right, bottom) = turned.min(axis=0), turned.max(axis=0) + 1
        top, left = max(0.0, top), max(0.0, left)
        bottom, right = min(float(self.rows), bottom), min(float(self.columns), right)
        if bottom - top < 1 or right - left < 1:
            return 0.0, 0.0, float(self.rows), float(self.columns)
        return float(top), float(left), float(bottom), float(right)

    def box(self, view: Viewport) -> Box:
        """The part of the image that is seen."""
        top, left, bottom, right = self.area()
        part = view.box(1, 1)
        high, wide = bottom - top, right - left
        return top + part[0] * high, left + part[1] * wide, top + part[2] * high, left + part[3] * wide

    def picture(
        self,
        fit: Fit,
        window: NamedWindow | None,
        *,
        box: Box,
        invert: bool = False,
        overlays: bool = False,
        info: bool = False,
        cell: tuple[int, int] = (1, 2),
    ) -> Picture:
        """The picture.

        Parameters
        ----------
        fit : Fit
            Its size.
        window : NamedWindow or None
            None for colour.
        box : Box
            The part of the image.
        invert, overlays, info : bool
            Turn grey round; draw what lies on the image; letters of directions and a scale bar.
        cell : (across, down)
            Points of a cell, for the places of letters.
        """
        voi = None if window is None else window.voi
        size = (fit.height, fit.width)
        picture = Picture(self.shown.picture(voi=voi, invert=invert, size=size, box=box, overlays=overlays))
        if overlays:
            self._draw_masks(picture, box)
            draw_lines(picture, self.lines, box, width=max(1, cell[1] // 10))
        if info:
            self._annotate(picture, box, cell)
        return picture

    def _draw_masks(self, picture: Picture, box: Box) -> None:
        """The border of each segment, one point wide, and its name."""
        for layer in self.masks:
            share = area_mean(self.shown.turn.array(layer.mask), picture.height, picture.width, box)
            inside = share >= 0.5
            if not inside.any():
                inside = share > 0
            if not inside.any():
                continue
            pixels = np.array(picture.colored())
            pixels[inside & ~_eroded(inside)] = layer.color
            picture.pixels = pixels
            rows, columns = np.nonzero(inside)
            low = int(rows.argmax())
            picture.labels.append(Label(float(columns[low]), float(rows[low]) + 1, layer.name, layer.color))

    def _annotate(self, picture: Picture, box: Box, cell: tuple[int, int]) -> None:
        _, right, _, lower = border_letters(self.frame)
        right, lower = self.shown.turn.directions(right, lower, opposite)
        left, upper = opposite(right), opposite(lower)
        w, h, (across, down) = picture.width, picture.height, cell
        for text, x, y, anchor in (
            (left, across / 2, h / 2, "l"), (right, w - across / 2, h / 2, "r"),
            (upper, w / 2, down / 2, "m"), (lower, w / 2, h - down / 2, "m"),
        ):  # fmt: skip
            if text:
                picture.labels.append(Label(x, y, text, _LETTERS, anchor))
        scale = mm_per_pixel(self.frame)
        if scale is None:
            return
        mm, source = scale
        if self.shown.turn.rotation in (90, 270):
            mm = mm / self.values.aspect
        points_per_pixel = w / (box[3] - box[1])
        pixels, length = scale_bar(mm, max(1.0, w / 3 / points_per_pixel))
        x0 = float(across)
        y = h - 1.5 * down
        line = np.array([[x0, y], [x0 + pixels * points_per_pixel, y]])
        draw_lines(picture, [Line(line - 0.0, _BAR)], (0.5, 0.5, h + 0.5, w + 0.5), width=max(1, down // 8))
        words = f"{length:g} mm" + (" (at the detector)" if source == "ImagerPixelSpacing" else "")
        picture.labels.append(Label(x0, h - down / 2, words, _BAR))


def _eroded(inside: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Points whose four neighbours are inside too; beyond the border of the picture all is inside."""
    padded = np.pad(inside, 1, constant_values=True)
    around = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
    return inside & around


def open_scene(frame: Frame, companions: Companions | None = None) -> Scene:
    """Decode a frame with what is laid on it.

    Raises
    ------
    InputError
        A presentation state is not for the image.
    FormatError, DecodeError, TooLargeError
        The pixels, or an object that is laid on them, are damaged or too large.
    """
    if companions is None or companions.is_empty:
        return Scene(display_frame(frame))
    from gpukit.viewer.companions import lines_of, state_lines

    shown = display_frame(frame, state=companions.state)
    lines = [
        replace(line, points=shown.turn.points(line.points, frame.rows, frame.columns))
        for line in lines_of(frame, companions.lines)
    ]
    masks = [mask for source in companions.segments for mask in source.on(frame)]
    return Scene(shown, [*state_lines(shown), *lines], masks)
