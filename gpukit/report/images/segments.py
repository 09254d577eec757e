"""The slice of a segmentation on which a segment is largest, and its image."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.dicom.sr.content_item import Reference
from gpukit.report.images.index import ImageIndex

__all__ = ["largest_slice"]


def largest_slice(index: ImageIndex, reference: Reference) -> tuple[Any, NDArray[np.bool_]] | str:
    """Frame of the segmented image and the segment on it, or why there is none.

    Parameters
    ----------
    index : ImageIndex
    reference : Reference
        Of a segmentation, with segment numbers.
    """
    header = index.segmentations.get(reference.sop_instance_uid)
    if header is None:
        return "the segmentation {uid} is missing"
    from gpukit.display.frame_values import frame_values

    groups = header.dataset().get("PerFrameFunctionalGroupsSequence") or ()
    best: tuple[int, int, NDArray[np.bool_]] | None = None
    for n, frame in enumerate(index.frames(header)):
        group = groups[n] if n < len(groups) else None
        identified = group.get("SegmentIdentificationSequence") if group is not None else None
        number = int(identified[0].get("ReferencedSegmentNumber") or 0) if identified else 0
        if number and number not in reference.segments:
            continue
        stored = np.asarray(frame_values(frame).stored)
        mask = np.isin(stored, reference.segments) if not number else stored > 0
        size = int(mask.sum())
        if size and (best is None or size > best[0]):
            best = size, n, mask
    if best is None:
        return "the segment has no pixel"
    _, n, mask = best
    source = _source(index, header, groups, n)
    if source is None:
        return "no image of the segmentation {uid} is in the folder"
    if (source.rows, source.columns) != mask.shape:
        return "the segmentation {uid} has another size than its image"
    return source, mask


def _source(index: ImageIndex, header: Any, groups: Any, n: int) -> Any:
    """The frame that was segmented: by reference, else by place."""
    group = groups[n] if n < len(groups) else None
    for derivation in (group.get("DerivationImageSequence") if group is not None else None) or ():
        for item in derivation.get("SourceImageSequence") or ():
            image = index.images.get(str(item.get("ReferencedSOPInstanceUID") or ""))
            if image is not None:
                number = item.get("ReferencedFrameNumber") or 1
                number = number[0] if isinstance(number, (list, tuple)) else number
                frames = index.frames(image)
                return frames[int(number) - 1] if 1 <= int(number) <= len(frames) else None
    plane = index.frames(header)[n].plane
    if plane.position is None:
        return None
    for frame in index.in_space(str(header.get("FrameOfReferenceUID", ""))):
        if np.allclose(frame.plane.position, plane.position, atol=1e-2) and np.allclose(
            frame.plane.orientation, plane.orientation, atol=1e-3
        ):
            return frame
    return None
