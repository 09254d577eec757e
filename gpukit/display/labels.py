"""Labels over a picture: a veil of their colors, and their borders in full."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["tinted"]


def tinted(
    picture: NDArray[Any], labels: NDArray[Any], palette: Mapping[int, tuple[int, int, int]], opacity: float
) -> NDArray[np.uint8]:
    """Draw a label map on a picture.

    Parameters
    ----------
    picture : array, (rows, columns) or (rows, columns, 3)
        0 to 255.
    labels : array of whole numbers, (m, n)
        Of the same extent; each pixel of the picture takes the label at its place. 0 is background.
    palette : mapping of label to (red, green, blue)
        Labels that it lacks are not drawn.
    opacity : float
        Of the veil, 0 to 1.

    Returns
    -------
    uint8 array, (rows, columns, 3)
        A border lies on the side of the higher label: two labels share one line, and none lies on background.
    """
    image = np.asarray(picture, np.float64)
    image = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image.copy()
    height, width = image.shape[:2]
    rows = np.minimum((np.arange(height) + 0.5) * labels.shape[0] / height, labels.shape[0] - 1).astype(int)
    columns = np.minimum((np.arange(width) + 0.5) * labels.shape[1] / width, labels.shape[1] - 1).astype(int)
    shown = labels[rows][:, columns]
    edge = np.zeros(shown.shape, bool)
    edge[1:] |= shown[1:] > shown[:-1]
    edge[:, 1:] |= shown[:, 1:] > shown[:, :-1]
    edge[:-1] |= shown[:-1] > shown[1:]
    edge[:, :-1] |= shown[:, :-1] > shown[:, 1:]
    for value in np.unique(shown):
        if int(value) not in palette:
            continue
        color = np.asarray(palette[int(value)], np.float64)
        inside = shown == value
        image[inside] = (1 - opacity) * image[inside] + opacity * color
        image[inside & edge] = color
    return np.rint(image).astype(np.uint8)
