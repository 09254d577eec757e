"""Which frame of which file, and how its stored values become output values."""

from __future__ import annotations

from dataclasses import dataclass

from gpukit.dicom.headers import Header

__all__ = ["FrameRef"]


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
