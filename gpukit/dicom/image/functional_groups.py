"""Functional groups of one frame of an enhanced image (PS3.3 C.7.6.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["functional_group", "in_plane"]


def functional_group(dataset: Dataset, name: str, frame: int | None) -> Dataset | None:
    """First item of a functional group: the frame's own, else the shared one, else the data set itself or None.

    Parameters
    ----------
    dataset : Dataset
        A multi-frame image, or a single-frame one, which holds the attributes at its top.
    name : str
        Keyword of the group's sequence, such as ``PlaneOrientationSequence``.
    frame : int or None
        1-based frame number.
    """
    groups = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())
    if not groups and not dataset.get("SharedFunctionalGroupsSequence"):
        return dataset
    candidates = [groups[frame - 1]] if frame is not None and 0 < frame <= len(groups) else groups[:1]
    for item in (*candidates, *(dataset.get("SharedFunctionalGroupsSequence") or ())):
        if item.get(name):
            found: Dataset = item[name].value[0]
            return found
    return None


def in_plane(header: Dataset, frame: int | None) -> tuple[tuple[float, ...], tuple[float, float]] | None:
    """ImageOrientationPatient and PixelSpacing of a source frame as it states them, or None where it does not."""
    orientation = functional_group(header, "PlaneOrientationSequence", frame)
    measures = functional_group(header, "PixelMeasuresSequence", frame)
    cosines = None if orientation is None else orientation.get("ImageOrientationPatient")
    spacing = None if measures is None else measures.get("PixelSpacing")
    if not cosines or not spacing or len(cosines) != 6 or len(spacing) != 2:
        return None
    return tuple(float(v) for v in cosines), (float(spacing[0]), float(spacing[1]))
