"""Two images side by side, and the difference of them where their grids meet."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from gpukit.display.frame_values import FrameValues, NamedWindow
from gpukit.display.presentation import window_of_range
from gpukit.errors import GeometryError
from gpukit.viewer.picture import Label, Picture
from gpukit.viewer.scene import Scene

__all__ = ["beside", "difference", "window_for_both"]


def beside(left: Picture, right: Picture, *, gap: int, height: int, right_at: int) -> Picture:
    """Two pictures as one.

    Parameters
    ----------
    left, right : Picture
        Of any size.
    gap : int
        Points between them, black.
    height : int
        Of the whole.
    right_at : int
        Column at which the right one begins.
    """
    color = left.pixels.ndim == 3 or right.pixels.ndim == 3
    pictures = (left, right)
    parts = [picture.colored() if color else picture.pixels for picture in pictures]
    width = max(right_at, left.width + gap) + right.width
    whole = np.zeros((height, width, 3) if color else (height, width), np.uint8)
    labels: list[Label] = []
    for part, picture, at in zip(parts, pictures, (0, max(right_at, left.width + gap)), strict=True):
        rows = min(height, part.shape[0])
        whole[:rows, at : at + part.shape[1]] = part[:rows]
        labels += [replace(label, x=label.x + at) for label in picture.labels]
    return Picture(whole, labels)


def window_for_both(one: Scene, two: Scene, window: NamedWindow | None) -> NamedWindow | None:
    """The window of the first image for the second one too; a picture in colour has none."""
    return None if two.values.is_color else window if not one.values.is_color else None


@dataclass(frozen=True)
class Difference:
    """Second minus first."""

    scene: Scene
    window: NamedWindow


def difference(one: Scene, two: Scene) -> Difference:
    """The second image minus the first one, pixel by pixel; grey in the middle is no difference.

    Raises
    ------
    GeometryError
        The images have not the same pixels at the same places, or are in colour.
    """
    first, second = one.values, two.values
    if first.is_color or second.is_color:
        raise GeometryError("a difference is of grey images", fix="compare them side by side")
    if first.stored.shape != second.stored.shape:
        raise GeometryError(
            f"the grids do not meet: {first.stored.shape[1]} x {first.stored.shape[0]} and "
            f"{second.stored.shape[1]} x {second.stored.shape[0]} pixels",
            fix="compare them side by side",
        )  # fmt: skip
    planes = one.frame.plane, two.frame.plane
    if all(plane.has_geometry for plane in planes):
        apart = np.abs(np.asarray(planes[0].position) - np.asarray(planes[1].position)).max()
        turned = np.abs(np.asarray(planes[0].orientation) - np.asarray(planes[1].orientation)).max()
        scaled = np.abs(np.asarray(planes[0].spacing) - np.asarray(planes[1].spacing)).max()
        size = float(np.max(planes[0].spacing or (1.0, 1.0)))
        if apart > size / 2 or turned > 1e-3 or scaled > 1e-3 * size:
            raise GeometryError(
                "the grids do not meet: the pixels lie at other places", fix="compare them side by side"
            )
    values = _real(second) - _real(first)
    valid = None
    if first.valid is not None or second.valid is not None:
        both = [v if v is not None else np.ones(first.stored.shape, bool) for v in (first.valid, second.valid)]
        valid = both[0] & both[1]
        values = np.where(valid, values, 0.0)
    most = float(np.abs(values).max()) or 1.0
    shown = FrameValues(
        stored=values.astype(np.float32), valid=valid, full_range=(-most, most), aspect=first.aspect,
    )  # fmt: skip
    scene = Scene(replace(one.shown, values=shown, _kept={}))
    return Difference(scene, NamedWindow("difference", window_of_range((-most, most))))


def _real(values: FrameValues) -> NDArray[np.float64]:
    return values.stored.astype(np.float64) * values.slope + values.intercept
