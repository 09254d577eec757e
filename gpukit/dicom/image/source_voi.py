"""How a volume's source images want to be shown: the window of each slice, and whether low values are white."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from gpukit.dicom.image.voi_lut import first_window
from gpukit.volume import SourceInstance, Voi, Volume

__all__ = ["frame_of_slice", "header_voi", "is_inverse", "own_voi"]

#: Pictures whose grid is not the patient's (values of ImageType).
_UNPLACED = {"CURVED MPR", "VOLUME RENDERING", "SURFACE RENDERING"}
_PARALLEL = 0.999  # cosine


def is_inverse(volume: Volume) -> bool:
    """Whether its lowest values are meant to be shown white (MONOCHROME1, PS3.3 C.7.6.3.1.2)."""
    return not volume.axes.endswith("c") and volume.metadata.get("PhotometricInterpretation") == "MONOCHROME1"


def frame_of_slice(volume: Volume, k: int, phase: int = 0) -> SourceInstance | None:
    """The frame that slice k shows; None where it shows several (another plane, a projection)."""
    sources = [source for source in volume.sources if source.phase == phase] or list(volume.sources)
    return _frame_behind(volume, sources, k) if sources else None


def own_voi(volume: Volume, slice: int | None = None, phase: int = 0) -> Voi | None:
    """The window that an image names in its header.

    Parameters
    ----------
    volume : Volume
    slice, phase : int
        Index k and t. The window is that of the frame which slice k shows; where slice k shows several frames (another
        plane, a projection), and for None, that of the frame in the middle of the stack.

    Returns
    -------
    Voi or None
        In the volume's values; None where the header has none. A volume without source images has that of its metadata.
    """
    sources = [source for source in volume.sources if source.phase == phase] or list(volume.sources)
    if not sources:
        return header_voi(volume.metadata)
    at = None if slice is None else _frame_behind(volume, sources, slice)
    return (at or sources[len(sources) // 2]).voi


def _frame_behind(volume: Volume, sources: Sequence[SourceInstance], k: int) -> SourceInstance | None:
    """The frame whose plane is nearest to slice k; None where slices of the volume are not parallel to frames."""
    if len(sources) == 1:
        return sources[0]
    facts = volume.metadata
    if {str(part) for part in facts.get("ImageType") or ()} & _UNPLACED:
        return None
    cosines = facts.get("ImageOrientationPatient")
    if cosines is None:  # without a place, slices are stacked as they came
        same = [source for source in sources if source.index == k]
        return same[0] if len(sources) == volume.grid.shape[0] and same else None
    row, column = np.asarray(cosines[:3], float), np.asarray(cosines[3:6], float)
    acquired = np.cross(row, column)
    normal = np.cross(volume.grid.direction[:, 0], volume.grid.direction[:, 1])
    size = float(np.linalg.norm(acquired) * np.linalg.norm(normal))
    if size == 0 or abs(float(acquired @ normal)) < _PARALLEL * size:
        return None
    heights = np.asarray([source.position for source in sources], float) @ normal
    at = float(volume.grid.to_world((0, 0, k)) @ normal)
    return sources[int(np.abs(heights - at).argmin())]


def header_voi(metadata: Mapping[str, Any]) -> Voi | None:
    """The first usable window of a header's attributes, by DICOM keyword; None without one."""
    return first_window(*(metadata.get(keyword) for keyword in ("WindowCenter", "WindowWidth", "VOILUTFunction")))
