"""A segmentation object made whole by highdicom, one data set a frame, with the true sources put in by pydicom."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from pydicom import Dataset

from gpukit.dicom.modules.source_frames import Planes, plan_planes
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.segmentation.seg_template import make_object
from gpukit.segmentation import Segmentation
from gpukit.volume import SourceInstance


def by_highdicom(segmentation: Segmentation, kind: str = "binary", *, compress: bool = False) -> Dataset:
    """What highdicom makes of all pixels, planes and labels."""
    labels = sorted(segmentation.labels, key=lambda label: label.value)
    header = source_header(segmentation.sources[0])
    planes = plan_planes(segmentation.grid, segmentation.sources, header)
    numbers = [label.value if kind == "labelmap" else number for number, label in enumerate(labels, 1)]
    table = np.zeros(65536, np.uint8 if max(numbers) < 256 else np.uint16)
    table[[label.value for label in labels]] = numbers
    pixels = table[segmentation.array]
    if kind == "fractional":
        order = [segmentation.labels.index(label) for label in labels]
        pixels = np.moveaxis(segmentation.probabilities[order], 0, -1).astype(np.float32) / np.float32(255)
    whole = make_object(pixels, segmentation, labels, header, planes, kind, compress=compress)
    notes = "; ".join(segmentation.notes) if not planes.aligned else ""
    _set_references(whole, planes, segmentation.sources, str(header.SeriesInstanceUID), notes)
    return whole


def _set_references(
    result: Dataset, planes: Planes, sources: Sequence[SourceInstance], series_uid: str, notes: str
) -> None:
    frames: dict[tuple[str, str], list[int]] = {}
    for source in sources:
        numbers = frames.setdefault((source.sop_class_uid, source.sop_instance_uid), [])
        if source.frame is not None:
            numbers.append(source.frame)
    result.SourceImageSequence = [_reference(*uids, numbers) for uids, numbers in frames.items()]
    series = Dataset()
    series.SeriesInstanceUID = series_uid
    series.ReferencedInstanceSequence = [_reference(*uids, ()) for uids in frames]
    result.ReferencedSeriesSequence = [series]
    for group in result.PerFrameFunctionalGroupsSequence:
        derivation = group.DerivationImageSequence[0]
        stand_in = derivation.SourceImageSequence[0]
        plane = int(str(stand_in.ReferencedSOPInstanceUID).rpartition(".")[2])
        items = []
        for source in planes.references[plane]:
            numbers = () if source.frame is None else (source.frame,)
            item = _reference(source.sop_class_uid, source.sop_instance_uid, numbers)
            item.SpatialLocationsPreserved = "YES" if planes.pixelwise else "NO"
            item.PurposeOfReferenceCodeSequence = stand_in.PurposeOfReferenceCodeSequence
            items.append(item)
        derivation.SourceImageSequence = items
        if notes:
            derivation.DerivationDescription = notes[:1024]
        if not items:
            del group.DerivationImageSequence


def _reference(class_uid: str, instance_uid: str, numbers: Sequence[int]) -> Dataset:
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = class_uid, instance_uid
    if numbers:
        item.ReferencedFrameNumber = sorted(set(numbers)) if len(set(numbers)) > 1 else numbers[0]
    return item
