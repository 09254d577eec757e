"""Segmentations as groups of a measurement report: what was measured of each segment, and where that segment is."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from gpukit.ai.tasks.label_summary import amount, summary
from gpukit.device import move
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import ImageReference, SegmentReference
from gpukit.dicom.modules.source_frames import plan_planes
from gpukit.dicom.modules.source_header import source_header
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.documents.atomic import atomic_path
from gpukit.ops.label_rows import label_rows
from gpukit.segmentation import Label, Segmentation
from gpukit.units import ValueUnit
from gpukit.volume import SourceInstance, Volume

if TYPE_CHECKING:
    from pydicom import Dataset

__all__ = ["WrittenSeg", "absent_group", "headers_of", "reported_segments", "written_seg", "write_sr"]

_VOLUME = Code("118565006", "SCT", "Volume")
_MEAN = Code("373098007", "SCT", "Mean")
#: What the mean of values of a unit is called: DICOM's codes (PS3.16 annex D), and UCUM's name of the unit.
_MEANS = {
    ValueUnit.HU: (Code("112031", "DCM", "Attenuation Coefficient"), "[hnsf'U]"),
    ValueUnit.SUVBW: (Code("126401", "DCM", "SUVbw"), "{SUVbw}g/ml"),
}
#: Categories whose types are places in the body, so that the type is the finding's site as well.
_ANATOMY = {("91723000", "SCT"), ("123037004", "SCT"), ("T-D000A", "SRT")}


@dataclass(frozen=True)
class WrittenSeg:
    """A DICOM SEG that was written: what a report needs to refer to its segments.

    Parameters
    ----------
    header : Dataset
        The object without its pixels.
    numbers : mapping
        Segment number of each label value that the object describes.
    """

    header: Dataset
    numbers: dict[int, int]


def written_seg(path: str | os.PathLike[str], segmentation: Segmentation) -> WrittenSeg:
    """The object that was just written to `path` from the segmentation.

    Segments of a label map are numbered by their values, those of other kinds in the order of the values.
    """
    from pydicom import dcmread

    header = dcmread(path, stop_before_pixels=True)
    values = sorted(label.value for label in segmentation.labels)
    by_value = header.get("SegmentationType") == "LABELMAP"
    return WrittenSeg(header, {value: value if by_value else n for n, value in enumerate(values, 1)})


def reported_segments(
    segmentation: Segmentation, volume: Volume | None = None, seg: WrittenSeg | None = None
) -> list[ReportedGroup]:
    """A group of a measurement report for each label with voxels, and one for all without.

    Parameters
    ----------
    segmentation : Segmentation
        With `sources`.
    volume : Volume or None
        What was segmented; adds the mean of Hounsfield units and of SUVs.
    seg : WrittenSeg or None
        Each group then refers to its segment (TID 1411); else to the images in which the label has voxels (TID 1501).
    """
    from pydicom.uid import generate_uid

    sources = segmentation.sources
    header = source_header(sources[0])
    content = {entry["value"]: entry for entry in summary(segmentation, volume)["labels"]}
    there = [label for label in segmentation.labels if content[label.value]["voxels"]]
    planes = plan_planes(segmentation.grid, sources, header).references
    model = {key: str(segmentation.algorithm.get(key) or "") for key in ("name", "version", "digest")}
    algorithm = (model["name"] or "unnamed model", model["version"], model["digest"])
    reached = _planes_reached(segmentation, there) if seg is None else {}
    groups = []
    for label in there:
        place: dict[str, Any] = {"images": tuple(dict.fromkeys(map(_reference, _of(planes, reached.get(label.value)))))}
        if seg is not None:
            class_uid, instance_uid = str(seg.header.SOPClassUID), str(seg.header.SOPInstanceUID)
            place = {
                "segment": SegmentReference(ImageReference(class_uid, instance_uid), seg.numbers[label.value]),
                "series_uid": str(header.SeriesInstanceUID),
            }
        groups.append(
            ReportedGroup(
                numbers=_numbers(content[label.value]),
                tracking_uid=str(generate_uid(prefix=None)),
                tracking_id=label.name,
                label=f"{label.name}: {amount(content[label.value])}",
                finding=Code(*label.type),
                category=Code(*label.category),
                sites=(Code(*label.type),) if label.category[:2] in _ANATOMY else (),
                algorithm=algorithm,
                **place,
            )
        )
    absent = [label for label in segmentation.labels if label not in there]
    images = tuple(dict.fromkeys(_reference(source) for source in sources))
    if absent:
        groups.append(absent_group([(label.name, Code(*label.type)) for label in absent], images, algorithm))
    return groups


def headers_of(
    groups: Sequence[ReportedGroup], sources: Sequence[SourceInstance], segs: Sequence[WrittenSeg] = ()
) -> dict[str, Dataset]:
    """The headers of all that groups refer to, each read once."""
    named = [image for group in groups for image in (*group.images, *(one for one, _ in group.regions))]
    used = {image.sop_instance_uid for image in named}
    headers = {
        s.sop_instance_uid: source_header(s)
        for s in {s.sop_instance_uid: s for s in sources if s.sop_instance_uid in used}.values()
    }
    return headers | {str(seg.header.SOPInstanceUID): seg.header for seg in segs}


def absent_group(
    named: list[tuple[str, Code]], images: tuple[ImageReference, ...], algorithm: tuple[str, str, str]
) -> ReportedGroup:
    """The group that says what a model looked for and did not find."""
    from pydicom.uid import generate_uid

    return ReportedGroup(
        numbers=(),
        tracking_uid=str(generate_uid(prefix=None)),
        tracking_id=f"Not found by {algorithm[0]}",
        label="Looked for and not found: " + ", ".join(name for name, _ in named),
        images=images,
        absent=tuple(code for _, code in named),
        algorithm=algorithm,
    )


def write_sr(
    segmentation: Segmentation,
    path: str | os.PathLike[str],
    *,
    volume: Volume | None = None,
    seg: WrittenSeg | None = None,
    force: bool = False,
) -> None:
    """Measurement report (TID 1500) of a segmentation; parameters as of `reported_segments`."""
    from gpukit.dicom.sr.tid1500_write import write_measurement_report

    groups = reported_segments(segmentation, volume, seg)
    headers = headers_of(groups, segmentation.sources, () if seg is None else (seg,))
    name = segmentation.algorithm.get("name") or "unnamed model"
    with atomic_path(path, force=force) as temporary:
        write_measurement_report(groups, headers, temporary, description=f"Measurements of segments by {name}")


def _numbers(entry: dict[str, Any]) -> tuple[ReportedNumber, ...]:
    ml = entry["volume_ml"]
    volume = (entry["voxels"], "{pixels}") if ml is None else (round(ml, 4), "ml")
    numbers = [ReportedNumber(code=_VOLUME, value=volume[0], unit=volume[1])]
    mean = entry.get("mean")
    if mean is not None and entry.get("unit") in _MEANS:
        code, unit = _MEANS[entry["unit"]]
        numbers.append(ReportedNumber(code=code, value=round(mean, 4), unit=unit, derivation=_MEAN))
    return tuple(numbers)


def _planes_reached(segmentation: Segmentation, labels: list[Label]) -> dict[int, list[int]]:
    """The planes in which each label has voxels."""
    values = sorted(label.value for label in labels)
    if not values:
        return {}
    if segmentation.planes is not None:
        filled_planes = {}
        for label in labels:
            mask = np.asarray(move(segmentation.mask(label), "cpu"))
            filled_planes[label.value] = np.flatnonzero(mask.any(axis=(1, 2))).tolist()
        return filled_planes
    array = np.asarray(move(segmentation.array, "cpu"))
    small = np.ascontiguousarray(array, np.uint8 if array.dtype.itemsize == 1 else np.uint16)
    filled = label_rows(small, values)[:, :-1, 1] > 0
    return {value: np.flatnonzero(filled[:, n]).tolist() for n, value in enumerate(values)}


def _of(planes: list[tuple[Any, ...]], chosen: list[int] | None) -> list[Any]:
    return [] if chosen is None else [source for k in chosen for source in planes[k]]


def _reference(source: Any) -> ImageReference:
    return ImageReference(source.sop_class_uid, source.sop_instance_uid, source.frame)
