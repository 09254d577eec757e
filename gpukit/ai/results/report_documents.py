"""Write the result of `gpukit.ai.tasks.report` as Markdown and as a DICOM SR."""

from __future__ import annotations

import os
from collections.abc import Sequence

from gpukit.ai.results.detection_report import finding_code, reported_boxes
from gpukit.ai.results.segment_report import WrittenSeg, absent_group, headers_of, reported_segments
from gpukit.ai.tasks.classify import Classification, Prediction
from gpukit.ai.tasks.detect import Detections
from gpukit.ai.tasks.report import Report, _class_text
from gpukit.dicom.modules.cine import frames_as_slices, is_cine
from gpukit.dicom.modules.codes import Code
from gpukit.dicom.modules.graphics import ImageReference
from gpukit.dicom.sr.measurement_group import ReportedGroup, ReportedNumber
from gpukit.documents.atomic import atomic_path
from gpukit.errors import InputError
from gpukit.files.provenance import made_by
from gpukit.segmentation import Segmentation
from gpukit.volume import SourceInstance, Volume

__all__ = ["as_markdown", "segmentations", "write_sr"]


_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")


def as_markdown(made: Report, title: str = "Findings") -> str:
    """The report for people: present findings first, then what was looked for and not found, then the models."""
    facts = made.volume.metadata
    lines = [f"# {title}", ""]
    about = [str(facts[key]) for key in ("Modality", "BodyPartExamined", "SeriesDescription") if facts.get(key)]
    if about:
        lines += [f"Image: {', '.join(about)}.", ""]
    present = [f for f in made.findings if f.present]
    absent = [f for f in made.findings if not f.present]
    lines += ["## Found", "", *(f"- {f.text}" for f in present)] if present else ["Nothing was found."]
    if absent:
        lines += ["", "## Looked for and not found", "", *(f"- {f.text}" for f in absent)]
    lines += ["", "## Models", ""]
    lines += [f"- {made_by(m)}" for m in made.models]
    lines += ["", "Made by software alone. Not verified by a physician.", ""]
    return "\n".join(lines)


def segmentations(made: Report) -> list[Segmentation]:
    """The segmentations among the results, in the order of the models."""
    return [result for result in made.results if isinstance(result, Segmentation)]


def write_sr(
    made: Report, path: str | os.PathLike[str], *, segs: Sequence[WrittenSeg] = (), force: bool = False
) -> None:
    """The report as a DICOM SR (TID 1500): a group for each finding, and one for what a model did not find.

    Parameters
    ----------
    made : Report
        Of an image that was read from DICOM.
    path : path-like
        Where to.
    segs : sequence of WrittenSeg
        The DICOM SEGs that were written of `segmentations`, one each; findings then refer to their segments, and
        without them to the images in which they lie.
    force : bool
        Overwrite an existing file.

    Raises
    ------
    InputError
        The image was not read from DICOM.
    """
    from gpukit.dicom.sr.tid1500_write import write_measurement_report

    sources = made.volume.sources
    if not sources:
        raise InputError("an SR must refer to DICOM images, and this image was not read from any", fix="write JSON")
    groups: list[ReportedGroup] = []
    images = tuple(dict.fromkeys(map(_reference, sources)))
    left = list(segs)
    for result in made.results:
        if isinstance(result, Segmentation):
            groups += reported_segments(result, _single(made.volume), left.pop(0) if left else None)
        elif isinstance(result, Detections):
            groups += reported_boxes(result)
        else:
            groups += _classes(result, images)
    headers = headers_of(groups, sources, segs)
    with atomic_path(path, force=force) as temporary:
        write_measurement_report(groups, headers, temporary, description="AI findings")


def _reference(source: SourceInstance) -> ImageReference:
    return ImageReference(source.sop_class_uid, source.sop_instance_uid, source.frame)


def _single(volume: Volume) -> Volume | None:
    """The volume where it is one image, whose values can be averaged; a cine loop with a slice for each frame."""
    if is_cine(volume):
        volume = frames_as_slices(volume)
    return volume if volume.axes == "kji" else None


def _classes(results: Sequence[Classification], images: tuple[ImageReference, ...]) -> list[ReportedGroup]:
    """A group for each picture and class that was found in it, and one for the classes that were found in none."""
    groups = [_class_group(one, p, images) for one in results for p in one.predictions if p.found]
    there = {p.name for one in results for p in one.predictions if p.found}
    others = {p.name: finding_code(p.name, p.code) for one in results for p in one.predictions if p.name not in there}
    if others:
        model = results[0].models[0]
        groups.append(absent_group(list(others.items()), images, (model["name"], model["version"], model["digest"])))
    return groups


def _class_group(one: Classification, p: Prediction, images: tuple[ImageReference, ...]) -> ReportedGroup:
    from pydicom.uid import generate_uid

    model = one.models[0]
    return ReportedGroup(
        numbers=(ReportedNumber(code=_CERTAINTY, value=round(100 * p.probability, 4), unit="%"),),
        tracking_uid=str(generate_uid(prefix=None)),
        tracking_id=p.name,
        label=_class_text(one, p),
        images=images if one.source is None else (_reference(one.source),),
        finding=finding_code(p.name, p.code),
        algorithm=(model["name"], model["version"], model["digest"]),
    )
