"""A measurement drawn over its image, for people."""

from __future__ import annotations

import math
import os

import numpy as np
from numpy.typing import NDArray

from gpukit.device import move
from gpukit.dicom.image.frame import Frame, open_frame
from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.reader.headers import read_header
from gpukit.display.graphics import draw_figure, draw_words
from gpukit.display.grayscale import shown_plane
from gpukit.display.labels import tinted
from gpukit.display.outlines import outline
from gpukit.display.window import Window
from gpukit.documents.atomic import atomic_path
from gpukit.errors import InputError
from gpukit.files.pillow import pillow
from gpukit.findings.dicom_objects import caption
from gpukit.findings.measurement import Graphic, Measurement
from gpukit.volume import SourceInstance

__all__ = ["draw_overlay"]

_COLOR = (255, 210, 0)
_VEIL = 1 / 6  # opacity of a region
#: Pictures smaller than this are enlarged by a whole number, so that lines and words are no broader than anatomy.
_LEAST_SIDE = 512


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
    image_module, draw_module = pillow()
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
    picture = image_module.fromarray(plane).convert("RGB").resize(size, image_module.Resampling.BICUBIC)

    def placed(graphic: Graphic) -> NDArray[np.float64]:
        # the first pixel's centre is half an enlarged pixel from the border
        points = outline(graphic.type, np.asarray(graphic.points, dtype=np.float64))
        return np.asarray((points + 0.5) * np.array([x_scale, y_scale]) - 0.5)

    if region is not None:
        picture = image_module.fromarray(tinted(np.asarray(picture), region.astype(np.uint8), {1: _COLOR}, _VEIL))
    draw = draw_module.Draw(picture)
    for graphic in flat:
        draw_figure(draw, graphic.type, placed(graphic), _COLOR)
    x, y = (0.0, 0.0) if region is not None else max(placed(flat[-1]).tolist(), key=lambda point: point[1])
    draw_words(draw, caption(measured), (x + 8, y + 8), size, _COLOR, max(14, size[0] // 40))
    with atomic_path(path, force=force) as temporary:
        picture.save(os.fspath(temporary), format="PNG")


def _frame(source: SourceInstance) -> Frame:
    if not source.path:
        raise InputError("the measured image is not at hand", fix="measure again on the images")
    return open_frame(read_header(Location(source.path, source.member)), frame=source.frame)


def _masked(measured: Measurement) -> tuple[Frame, NDArray[np.bool_]]:
    """Return the slice on which most of a measured region lies, and the region there."""
    block = measured.mask
    if block is None:
        raise InputError(f"this {measured.kind} has nothing drawn on one image", attribute="overlay")
    inside = np.asarray(move(block.array, "cpu")) != 0
    k = int(inside.sum(axis=(1, 2)).argmax())
    at = block.start[0] + k
    acquired = block.acquired_slices
    index = at if not acquired else acquired.index(at) if at in acquired else None
    sources = [s for s in block.sources if s.index == index]
    if len(block.sources) == 1 == block.grid.shape[0]:
        sources = list(block.sources)
    if len(sources) != 1:
        raise InputError("the slice of the region is not a single image of the series", attribute="overlay")
    whole = np.zeros(block.grid.shape[1:], bool)
    _, j, i = block.start
    whole[j : j + inside.shape[1], i : i + inside.shape[2]] = inside[k]
    return _frame(sources[0]), whole


def _scales(frame: Frame, shape: tuple[int, ...]) -> tuple[float, float]:
    """Return how much columns and rows are enlarged."""
    rows, columns = shape
    spacing = frame.plane.spacing
    ratio = spacing[0] / spacing[1] if spacing is not None and min(spacing) > 0 else 1.0  # height by width of a pixel
    x, y = (1.0, ratio) if ratio >= 1 else (1 / ratio, 1.0)
    enlarged = max(1, math.ceil(_LEAST_SIDE / max(columns * x, rows * y)))
    return x * enlarged, y * enlarged
