"""A measurement drawn over its image, for people."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_header
from gpukit.display.grayscale import shown_plane
from gpukit.display.window import Window
from gpukit.documents.atomic import atomic_path
from gpukit.errors import InputError
from gpukit.extras import missing_package
from gpukit.findings.dicom_objects import caption
from gpukit.findings.measurement import Graphic, Measurement
from gpukit.volume import SourceInstance

__all__ = ["draw_overlay"]

_COLOR = (255, 210, 0)
_INK = (0, 0, 0)
#: Pictures smaller than this are enlarged by a whole number, so that lines and words are no broader than anatomy.
_LEAST_SIDE = 512
_SIDES = 180
_MARK = 6
#: Pillow's own font has no such glyphs.
_PLAIN = str.maketrans({"²": "2", "³": "3", "µ": "u"})


def draw_overlay(
    measured: Measurement,
    path: str | os.PathLike[str],
    *,
    window: Window | None = None,
    force: bool = False,
) -> None:
    """Write a PNG of the measured frame with the figures and the caption of a measurement.

    Pixels are shown square in the patient: an image whose pixels are not is stretched.

    Parameters
    ----------
    measured : Measurement
        With figures in pixels, or a region of voxels, on an image that is at hand. Of a region the slice is shown on
        which most of it lies.
    path : path-like
        ``.png``.
    window : Voi or (float, float), optional
        The values shown black and white; the image's own window, else its range, by default.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    InputError
        Nothing was drawn in pixels, or the image is not at hand.
    """
    try:
        from PIL import Image, ImageDraw, ImageFont
    except ImportError as error:
        raise missing_package("pictures need Pillow", "files") from error
    flat = [graphic for graphic in measured.graphics if graphic.space == "pixel"]
    region = None
    if flat and measured.sources:
        frame = _frame(measured.sources[0])
    else:
        frame, region = _masked(measured)
    volume = frame.read()
    plane = shown_plane(volume, window=window)
    x_scale, y_scale = _scales(frame, plane.shape[:2])
    size = (max(1, round(plane.shape[1] * x_scale)), max(1, round(plane.shape[0] * y_scale)))
    picture = Image.fromarray(plane).convert("RGB").resize(size, Image.Resampling.BICUBIC)
    draw = ImageDraw.Draw(picture)

    def placed(points: NDArray[np.float64]) -> list[tuple[float, float]]:
        # the first pixel's centre is half an enlarged pixel from the border
        return [((x + 0.5) * x_scale - 0.5, (y + 0.5) * y_scale - 0.5) for x, y in points]

    if region is not None:
        _tint(picture, region)
        draw = ImageDraw.Draw(picture)
    for graphic in flat:
        points = placed(_outline(graphic))
        if graphic.type in ("POINT", "MULTIPOINT"):
            for x, y in points:
                draw.line([(x - _MARK, y), (x + _MARK, y)], fill=_COLOR, width=2)
                draw.line([(x, y - _MARK), (x, y + _MARK)], fill=_COLOR, width=2)
        else:
            draw.line(points, fill=_COLOR, width=2, joint="curve")
    words = caption(measured).translate(_PLAIN)
    font: Any = ImageFont.load_default(size=max(14, size[0] // 40))
    left, top, right, bottom = draw.textbbox((0, 0), words, font=font)
    x, y = (8.0, 0.0) if region is not None else max(placed(_outline(flat[-1])), key=lambda point: point[1])
    x = min(max(4.0, x + 8), max(4.0, size[0] - (right - left) - 8))
    y = min(max(4.0, y + 8), max(4.0, size[1] - (bottom - top) - 8))
    draw.text((x, y), words, font=font, fill=_COLOR, stroke_width=2, stroke_fill=_INK)
    with atomic_path(path, force=force) as temporary:
        picture.save(os.fspath(temporary), format="PNG")


def _frame(source: SourceInstance) -> Frame:
    if not source.path:
        raise InputError("the measured image is not at hand", fix="measure again on the images")
    return open_frame(read_header(Location(source.path, source.member)), frame=source.frame)


def _masked(measured: Measurement) -> tuple[Frame, NDArray[np.bool_]]:
    """The slice on which most of a measured region lies, and the region there."""
    block = measured.mask
    if block is None:
        raise InputError(f"this {measured.kind} has nothing drawn on one image", attribute="overlay")
    inside = np.asarray(move(block.array, "cpu")) != 0
    k = int(inside.sum(axis=(1, 2)).argmax())
    at = block.start[0] + k
    acquired = block.acquired_slices
    index = at if not acquired else acquired.index(at) if at in acquired else None
    found = [s for s in block.sources if s.index == index]
    if len(block.sources) == 1 == block.grid.shape[0]:
        found = list(block.sources)
    if len(found) != 1:
        raise InputError("the slice of the region is no single image of the series", attribute="overlay")
    whole = np.zeros(block.grid.shape[1:], bool)
    _, j, i = block.start
    whole[j : j + inside.shape[1], i : i + inside.shape[2]] = inside[k]
    return _frame(found[0]), whole


def _tint(picture: Any, region: NDArray[np.bool_]) -> None:
    """The region in a thin veil of colour, its border full."""
    from PIL import Image, ImageChops, ImageFilter

    mask = Image.fromarray(region.astype(np.uint8) * 255).resize(picture.size, Image.Resampling.NEAREST)
    border = ImageChops.subtract(mask, mask.filter(ImageFilter.MinFilter(3)))
    colour = Image.new("RGB", picture.size, _COLOR)
    picture.paste(colour, mask=mask.point(lambda v: v // 6))
    picture.paste(colour, mask=border)


def _scales(frame: Frame, shape: tuple[int, ...]) -> tuple[float, float]:
    """How much columns and rows are enlarged."""
    rows, columns = shape
    spacing = frame.plane.spacing
    ratio = spacing[0] / spacing[1] if spacing is not None and min(spacing) > 0 else 1.0  # height by width of a pixel
    x, y = (1.0, ratio) if ratio >= 1 else (1 / ratio, 1.0)
    enlarged = max(1, math.ceil(_LEAST_SIDE / max(columns * x, rows * y)))
    return x * enlarged, y * enlarged


def _outline(graphic: Graphic) -> NDArray[np.float64]:
    points = np.asarray(graphic.points, dtype=np.float64)
    turns = np.linspace(0.0, 2.0 * np.pi, _SIDES + 1)[:, None]
    if graphic.type == "CIRCLE":
        radius = float(np.linalg.norm(points[1] - points[0]))
        return np.asarray(points[0] + radius * np.hstack([np.cos(turns), np.sin(turns)]))
    if graphic.type == "ELLIPSE":
        middle, a, b = points.mean(axis=0), (points[1] - points[0]) / 2, (points[3] - points[2]) / 2
        return np.asarray(middle + np.cos(turns) * a + np.sin(turns) * b)
    return points
