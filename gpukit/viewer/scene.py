"""One image with everything that is shown of it, and the picture of it for a size and a window."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.image.frame import Frame
from gpukit.display.frame_values import FrameValues, NamedWindow
from gpukit.display.orientation import border_letters
from gpukit.display.presentation import grey_of, reduce_values
from gpukit.viewer.info import mm_per_pixel, scale_bar
from gpukit.viewer.layout import Box, Fit, Viewport
from gpukit.viewer.picture import Label, Line, Picture, draw_lines

__all__ = ["Scene"]

_LETTERS = (255, 200, 0)
_BAR = (255, 255, 255)


@dataclass(eq=False)
class Scene:
    """A frame, decoded once, with what lies on it.

    Parameters
    ----------
    frame : Frame
        Where it comes from.
    values : FrameValues
        Its values.
    lines : list of Line
        Graphics, contours, measurements.
    """

    frame: Frame
    values: FrameValues
    lines: list[Line] = field(default_factory=list)
    _reduced: tuple[Any, Any] | None = None

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

    def box(self, view: Viewport) -> Box:
        """The part of the image that is seen."""
        return view.box(self.rows, self.columns)

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
        reduced, share = self._reduce(fit, box)
        grey = grey_of(self.values, reduced, share, voi=None if window is None else window.voi, invert=invert)
        picture = Picture(grey)
        if overlays:
            draw_lines(picture, self.lines, box, width=max(1, cell[1] // 10))
        if info:
            self._annotate(picture, box, cell)
        return picture

    def _reduce(self, fit: Fit, box: Box) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Mean values, kept until the size or the part changes: a new window costs no new means."""
        key = (fit.height, fit.width, box)
        if self._reduced is None or self._reduced[0] != key:
            self._reduced = (key, reduce_values(self.values, (fit.height, fit.width), box))
        means: tuple[NDArray[Any], NDArray[Any] | None] = self._reduced[1]
        return means

    def _annotate(self, picture: Picture, box: Box, cell: tuple[int, int]) -> None:
        left, right, upper, lower = border_letters(self.frame)
        w, h, (across, down) = picture.width, picture.height, cell
        for text, x, y, anchor in (
            (left, across / 2, h / 2, "l"), (right, w - across / 2, h / 2, "r"),
            (upper, w / 2, down / 2, "m"), (lower, w / 2, h - down / 2, "m"),
        ):  # fmt: skip
            if text:
                picture.labels.append(Label(x, y, text, _LETTERS, anchor))
        known = mm_per_pixel(self.frame)
        if known is None:
            return
        mm, source = known
        points_per_pixel = w / (box[3] - box[1])
        pixels, length = scale_bar(mm, max(1.0, w / 3 / points_per_pixel))
        x0 = float(across)
        y = h - 1.5 * down
        line = np.array([[x0, y], [x0 + pixels * points_per_pixel, y]])
        draw_lines(picture, [Line(line - 0.0, _BAR)], (0.5, 0.5, h + 0.5, w + 0.5), width=max(1, down // 8))
        words = f"{length:g} mm" + (" (at the detector)" if source == "ImagerPixelSpacing" else "")
        picture.labels.append(Label(x0, h - down / 2, words, _BAR))
