"""One slice as a PNG, through Pillow."""

from __future__ import annotations

import os

import numpy as np

from gpukit.display.grayscale import shown_plane
from gpukit.display.window import Window
from gpukit.documents.atomic import atomic_path
from gpukit.errors import OutputError, SelectionError
from gpukit.files.pillow import pillow
from gpukit.volume import Volume

__all__ = ["write_picture"]

_INCH = 25.4  # mm


def write_picture(
    volume: Volume,
    path: str | os.PathLike[str],
    *,
    window: Window | None = None,
    slice: int | None = None,
    rulers: bool = False,
    force: bool = False,
) -> None:
    """Write one slice as an 8-bit PNG, its first row on top.

    Parameters
    ----------
    volume : Volume
        3D, grey or colour; on any device.
    path : path-like
        ``.png``.
    window : Voi, (float, float) or None
        A VOI function, or the values shown black and white (MONOCHROME1: white and black), linear between; None takes
        the image's own window or VOI LUT, else the range of the slice without its padding. Colour is written as it is.
        Padding, NaN and infinite values are black.
    slice : int or None
        Index k from 0; may be None where there is only one slice.
    rulers : bool
        Rulers in mm beside the picture, see `gpukit.display.ruler`; none for an image without a pixel size.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    SelectionError
        There are several slices (or phases) and none is named, or the one named is not there.
    InputError
        The window is not finite or is empty.
    OutputExistsError
        The file exists and `force` is false.
    """
    image_module, _ = pillow()
    if volume.axes.startswith("t"):
        raise SelectionError("the volume has several phases", file=path, fix="choose one before saving a picture")
    count = volume.grid.shape[0]
    if slice is None and count > 1:
        raise SelectionError(f"the volume has {count} slices and a picture shows one", file=path, fix="name the slice")
    index = slice or 0
    if not 0 <= index < count:
        raise SelectionError(f"there is no slice {index} among {count}", file=path)
    plane = shown_plane(volume, window=window, slice=index)
    if plane.dtype != np.uint8:
        raise OutputError(f"colour of type {plane.dtype} is not 8 bit", file=path)
    si, sj, _ = volume.grid.spacing
    stated = {"dpi": (_INCH / si, _INCH / sj)} if volume.geometry.spacing else {}
    if rulers and stated:
        from gpukit.display.ruler import with_rulers

        plane = with_rulers(plane, si, sj)
    with atomic_path(path, force=force) as temporary:
        image_module.fromarray(plane).save(os.fspath(temporary), format="PNG", **stated)
