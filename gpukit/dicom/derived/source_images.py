"""Which source images a derived image refers to: those that it was computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.derived.header import code
from gpukit.dicom.image.functional_groups import functional_group
from gpukit.dicom.image.plane import numbers
from gpukit.volume import Volume

if TYPE_CHECKING:
    from pydicom import Dataset

    from gpukit.dicom.derived.derivation import Derivation

__all__ = ["SOURCE_IMAGES", "References"]

#: Tag of SourceImageSequence.
SOURCE_IMAGES = 0x00082112
#: Exactly one slice away is not touched by interpolation; the share of a slice that rounding may take.
_SLACK = 1e-3


class References:
    """SourceImageSequence of each slice of a derived volume.

    A source counts if it, widened by the distance to its neighbours (interpolation reaches no further), meets the slice
    or the slab that the slice shows. Where the sources' geometry is unknown all count. Items are encoded once for all
    slices: a coronal series refers to every axial image from every plane.
    """

    def __init__(self, volume: Volume, header: Dataset, derivation: Derivation) -> None:
        self.sources = volume.sources
        grid = volume.grid
        normal = np.cross(grid.direction[:, 0], grid.direction[:, 1])
        self._planes = grid.to_world([(0, 0, k) for k in range(grid.shape[0])]) @ normal
        self._half = (derivation.thickness or 0.0) / 2
        self._reach = _reach(volume, header, normal) if derivation.is_placed else None
        self._encoded: tuple[bytes, bytes] = (b"", b"")  # of the slice before: a stack often has one for all
        self._items: dict[tuple[str, str, tuple[int, ...]], bytes] = {}

    def of(self, k: int) -> NDArray[np.bool_]:
        """Which sources slice k was computed from."""
        if self._reach is None:
            return np.ones(len(self.sources), np.bool_)
        low, high = self._reach
        found = (high > self._planes[k] - self._half) & (low < self._planes[k] + self._half)
        return found if found.any() else np.ones(len(self.sources), np.bool_)

    def put_into(self, image: Dataset, k: int) -> None:
        """Add the sequence of slice k."""
        from pydicom.dataelem import RawDataElement
        from pydicom.tag import Tag

        chosen = self.of(k)
        key = chosen.tobytes()
        if self._encoded[0] != key:
            self._encoded = (key, self._encode(chosen))
        value = self._encoded[1]
        image[SOURCE_IMAGES] = RawDataElement(Tag(SOURCE_IMAGES), "SQ", len(value), value, 0, False, True, True)

    def _encode(self, chosen: NDArray[np.bool_]) -> bytes:
        """The items, in explicit VR little endian with defined lengths."""
        frames: dict[tuple[str, str], list[int]] = {}
        for n in np.flatnonzero(chosen):
            source = self.sources[int(n)]
            of_file = frames.setdefault((source.sop_class_uid, source.sop_instance_uid), [])
            if source.frame is not None:
                of_file.append(source.frame)
        return b"".join(
            self._item(class_uid, instance_uid, tuple(sorted(set(numbers_))))
            for (class_uid, instance_uid), numbers_ in frames.items()
        )

    def _item(self, class_uid: str, instance_uid: str, frames: tuple[int, ...]) -> bytes:
        """One item, encoded once however many images refer to it."""
        from pydicom import Dataset
        from pydicom.filebase import DicomBytesIO
        from pydicom.filewriter import write_sequence_item

        key = (class_uid, instance_uid, frames)
        if key not in self._items:
            item = Dataset()
            item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
            if frames:
                item.ReferencedFrameNumber = list(frames)
            item.PurposeOfReferenceCodeSequence = [code("121322", "DCM", "Source image for image processing operation")]
            buffer: Any = DicomBytesIO()
            buffer.is_little_endian, buffer.is_implicit_VR = True, False
            write_sequence_item(buffer, item, ["iso8859"])
            self._items[key] = bytes(buffer.getvalue())
        return self._items[key]


def _reach(
    volume: Volume, header: Dataset, normal: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """Lowest and highest distance along `normal` to which each source's values reach; None where it is unknown."""
    frame = volume.sources[0].frame
    orientation = functional_group(header, "PlaneOrientationSequence", frame)
    measures = functional_group(header, "PixelMeasuresSequence", frame)
    cosines = None if orientation is None else numbers(orientation.get("ImageOrientationPatient"), 6)
    spacing = None if measures is None else numbers(measures.get("PixelSpacing"), 2)
    rows, columns = int(header.get("Rows") or 0), int(header.get("Columns") or 0)
    if cosines is None or spacing is None or not rows or not columns:
        return None
    row, column = np.asarray(cosines[:3]), np.asarray(cosines[3:])
    along, down = row * spacing[1] * (columns - 1), column * spacing[0] * (rows - 1)
    positions = np.asarray([source.position for source in volume.sources], np.float64)
    across = np.cross(row, column)
    heights = positions @ across
    levels = np.unique(np.round(heights, 3))
    thick = (measures.get("SliceThickness") if measures is not None else None) or 1.0
    step = float(np.diff(levels).max()) if len(levels) > 1 else float(thick)
    corners = positions[:, None] + np.stack([0 * row, along, down, along + down])[None]
    depths = np.concatenate([corners + across * step * s * (1 - _SLACK) for s in (-1, 1)], axis=1) @ normal
    return depths.min(axis=1), depths.max(axis=1)
