"""One frame as a picture of a document: enlarged or reduced, with aspect, with lines in the image's own coordinates."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.extras import missing_package
from gpukit.report.images.outline import COLORS, draw_lines, outline_of

__all__ = ["Drawing", "frame_picture", "png_uri"]

#: Shorter and longer limits of a picture's longer side.
_LEAST, _MOST = 480, 1024


@dataclass(frozen=True)
class Drawing:
    """Lines in the coordinates of an unturned image, from the corner of its first pixel."""

    lines: tuple[NDArray[np.float64], ...]
    color: int | tuple[int, int, int] = 0


def frame_picture(frame: Any, drawings: Sequence[Drawing], *, state: Any = None) -> NDArray[np.uint8]:
    """A frame with drawings, as the file or a presentation state wants it to be seen.

    Parameters
    ----------
    frame : gpukit.dicom.image.frame.Frame
    drawings : sequence of Drawing
    state : PresentationState, optional

    Returns
    -------
    array of uint8, ``[row, column, 3]``
        Of a small image each pixel is a block of k by k; a point x, y of the image is at k x, k y.
    """
    from gpukit.display.presentation import display_frame

    shown = display_frame(frame, state=state)
    rows, columns = shown.values.stored.shape[:2]
    aspect = float(shown.values.aspect)
    longer = max(rows * max(aspect, 1.0), columns / min(aspect, 1.0))
    factor = max(1, int(_LEAST // longer)) if longer <= _MOST else _MOST / longer
    tall, wide = factor * max(aspect, 1.0), factor / min(aspect, 1.0)
    size = (max(1, round(rows * tall)), max(1, round(columns * wide)))
    if isinstance(factor, int):
        picture = shown.picture(overlays=True)
        picture = picture[_nearest(size[0], rows)][:, _nearest(size[1], columns)]
    else:
        picture = shown.picture(size=size, overlays=True)
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, axis=2)
    scale = np.array([size[1] / columns, size[0] / rows])

    def place(line: NDArray[np.float64]) -> NDArray[np.float64]:
        turned = shown.turn.points(line - 0.5, frame.rows, frame.columns) + 0.5
        placed: NDArray[np.float64] = turned * scale
        return placed

    picture = np.ascontiguousarray(picture)
    if shown.state is not None:
        for graphic in shown.state.graphics:
            if not graphic.on_display and graphic.type != "TEXT":
                lines = [place(line) for line in outline_of(graphic.type, graphic.points)]
                picture = draw_lines(picture, lines, graphic.color, 1.5)
    for drawing in drawings:
        color = COLORS[drawing.color % len(COLORS)] if isinstance(drawing.color, int) else drawing.color
        picture = draw_lines(picture, [place(line) for line in drawing.lines], color)
    return picture


def _nearest(size: int, count: int) -> NDArray[np.intp]:
    return np.minimum((np.arange(size) + 0.5) * count / size, count - 1).astype(np.intp)


def png_uri(picture: NDArray[np.uint8]) -> str:
    """The picture as a data URI."""
    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("key images need Pillow", "report") from error
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG", optimize=False)
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"
