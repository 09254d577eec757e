"""Findings of one or several models as one structured document, and as a DICOM SR."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpukit.ai.box_objects import finding_code, reported_boxes
from gpukit.ai.classification import Classification, Prediction, classify
from gpukit.ai.description import Model
from gpukit.ai.detection import Detections, detect
from gpukit.ai.outputs import summary
from gpukit.ai.placed import amount
from gpukit.ai.segment_objects import WrittenSeg, absent_group, headers_of, reported_segments
from gpukit.ai.segmentation import segment
from gpukit.dicom.annotations import ImageReference
from gpukit.dicom.reported import Code, ReportedGroup, ReportedNumber
from gpukit.errors import InputError, ModelError
from gpukit.files.atomic import atomic_path
from gpukit.files.provenance import made_by
from gpukit.volume import Segmentation, SourceInstance, Volume

__all__ = ["Finding", "Report", "as_markdown", "report", "segmentations", "write_sr"]

_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One statement of a report.

    Parameters
    ----------
    text : str
        For people.
    model : mapping
        ``name``, ``version`` and ``digest`` of what made it.
    kind : str
        ``classification``, ``detection`` or ``segmentation``.
    name : str
        Of the class or label.
    value : float
        Probability, score, millilitres, or the pixels of a label on a picture without depth.
    unit : str
        UCUM: ``1``, ``ml`` or ``{pixels}``.
    present : bool
        Whether the model holds it for found.
    code : (str, str, str) or None
        Of the finding.
    facts : mapping
        Where it is: slice, box in pixels and in the patient.
    """

    text: str
    model: dict[str, str]
    kind: str
    name: str
    value: float
    unit: str
    present: bool
    code: tuple[str, str, str] | None = None
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Report:
    """What several models say of one image, with the results that it came from."""

    findings: tuple[Finding, ...]
    models: tuple[dict[str, str], ...]
    results: tuple[tuple[Classification, ...] | Detections | Segmentation, ...]
    volume: Volume


def report(
    volume: Volume,
    models: Sequence[Model],
    *,
    runtime: str | None = None,
    precision: str = "auto",
    confidence: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Run models of any task but enhancing over one image, and state what they find.

    Parameters
    ----------
    volume : Volume
        What is looked at.
    models : sequence of Model
        Classifiers, detectors and segmenters, in the order of the report.
    runtime, precision
        As for `gpukit.segment`.
    confidence : float, optional
        Least score of detections.
    progress : callable, optional
        Called as ``progress(done, total)``, models.

    Raises
    ------
    ModelError
        A model cannot be used, or enhances.
    """
    if not models:
        raise InputError("no model was given", attribute="model")
    for model in models:
        if model.task == "enhance":
            raise ModelError(f"the model {model.name} makes images and finds nothing", file=model.file)
    findings: list[Finding] = []
    results: list[Any] = []
    for n, model in enumerate(models):
        if progress is not None:
            progress(n, len(models))
        if model.task == "classify":
            classes = classify(volume, model, runtime=runtime, precision=precision)
            results.append(classes)
            findings += [_of_class(one, p) for one in classes for p in one.predictions]
        elif model.task == "detect":
            boxes = detect(volume, model, runtime=runtime, precision=precision, confidence=confidence)
            results.append(boxes)
            findings += [_of_box(boxes, one) for one in boxes.boxes]
        else:
            labels = segment(volume, model, runtime=runtime, precision=precision)
            results.append(labels)
            findings += _of_labels(labels)
    if progress is not None:
        progress(len(models), len(models))
    identities = tuple({"name": m.name, "version": m.version, "digest": m.digest} for m in models)
    return Report(findings=tuple(findings), models=identities, results=tuple(results), volume=volume)


def _class_text(one: Classification, p: Prediction) -> str:
    place = "" if one.index is None else f" on slice {one.index}"
    return f"{p.name}{place}: {'present' if p.found else 'absent'}, probability {p.probability:.0%}"


def _of_class(one: Classification, p: Prediction) -> Finding:
    where = {} if one.index is None else {"slice": one.index}
    return Finding(
        text=_class_text(one, p), model=one.models[0], kind="classification",
        name=p.name, value=p.probability, unit="1", present=p.found, code=p.code, facts=where,
    )  # fmt: skip


def _of_box(found: Detections, one: Any) -> Finding:
    facts = {
        "slice": one.index,
        "box": list(one.box),
        "patient_lps_mm": None if one.patient is None else list(one.patient),
    }
    place = "" if one.index is None else f" on slice {one.index}"
    return Finding(
        text=f"{one.name}{place}, score {one.score:.0%}", model=found.model, kind="detection", name=one.name,
        value=one.score, unit="1", present=True, code=one.code, facts=facts,
    )  # fmt: skip


def _of_labels(labels: Segmentation) -> list[Finding]:
    model = {key: str(labels.algorithm.get(key, "")) for key in ("name", "version", "digest")}
    codes = {label.value: label.type for label in labels.labels}
    return [
        Finding(
            text=f"{entry['name']}: {amount(entry)}", model=model, kind="segmentation", name=entry["name"],
            value=entry["voxels"] if entry["volume_ml"] is None else entry["volume_ml"],
            unit="{pixels}" if entry["volume_ml"] is None else "ml", present=entry["voxels"] > 0,
            code=codes[entry["value"]], facts={"voxels": entry["voxels"]},
        )
        for entry in summary(labels)["labels"]
    ]  # fmt: skip


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
    from gpukit.dicom.sr import write_measurement_report

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
    """The volume where it is one image, whose values can be averaged."""
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
