"""Findings of one or several models as one structured document, and as a DICOM SR."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpukit.ai.box_objects import finding_code, reported_boxes
from gpukit.ai.classification import Classification, classify
from gpukit.ai.description import Model
from gpukit.ai.detection import Detections, detect
from gpukit.ai.outputs import summary
from gpukit.ai.segmentation import segment
from gpukit.dicom.annotations import ImageReference
from gpukit.dicom.identity import source_header
from gpukit.dicom.reported import Code, ReportedGroup, ReportedNumber
from gpukit.errors import InputError, ModelError
from gpukit.files.atomic import atomic_path
from gpukit.volume import Segmentation, Volume

__all__ = ["Finding", "Report", "as_markdown", "report", "write_sr"]

_CERTAINTY = Code("111012", "DCM", "Certainty of Finding")
_VOLUME = Code("118565006", "SCT", "Volume")


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
        Probability, score, or millilitres.
    unit : str
        UCUM: ``1`` or ``ml``.
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


def _of_class(one: Classification, p: Any) -> Finding:
    where = {} if one.index is None else {"slice": one.index}
    there = "present" if p.found else "absent"
    place = "" if one.index is None else f" on slice {one.index}"
    return Finding(
        text=f"{p.name}{place}: {there}, probability {p.probability:.0%}", model=one.models[0], kind="classification",
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
            text=f"{entry['name']}: {entry['volume_ml']:.1f} ml", model=model, kind="segmentation", name=entry["name"],
            value=entry["volume_ml"], unit="ml", present=entry["voxels"] > 0, code=codes[entry["value"]],
            facts={"voxels": entry["voxels"]},
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
    lines += [f"- {m['name']} {m['version']}, weights sha256 {m['digest']}" for m in made.models]
    lines += ["", "Made by software alone. Not verified by a physician.", ""]
    return "\n".join(lines)


def write_sr(made: Report, path: str | os.PathLike[str], *, force: bool = False) -> None:
    """The report as a DICOM SR (TID 1500): a group for each finding that is present.

    Raises
    ------
    InputError
        The image was not read from DICOM, or nothing was found.
    """
    from gpukit.dicom.sr import write_measurement_report

    sources = made.volume.sources
    if not sources:
        raise InputError("an SR must refer to DICOM images, and this image was not read from any", fix="write JSON")
    groups: list[ReportedGroup] = []
    headers = {s.sop_instance_uid: source_header(s) for s in {s.sop_instance_uid: s for s in sources}.values()}
    images = tuple(ImageReference(s.sop_class_uid, s.sop_instance_uid, s.frame) for s in sources)
    for result in made.results:
        if isinstance(result, Detections):
            boxes, more = reported_boxes(result)
            groups += boxes
            headers |= more
    for finding in made.findings:
        if finding.present and finding.kind != "detection":
            groups.append(_group(finding, made, images))
    if not groups:
        raise InputError("nothing was found, so there is nothing to report", fix="write JSON")
    with atomic_path(path, force=force) as temporary:
        write_measurement_report(groups, headers, temporary, description="AI findings")


def _group(finding: Finding, made: Report, images: tuple[ImageReference, ...]) -> ReportedGroup:
    from pydicom.uid import generate_uid

    k = finding.facts.get("slice")
    here = tuple(
        image for image, source in zip(images, made.volume.sources, strict=True) if k is None or source.index in (k, -1)
    )
    ml = finding.unit == "ml"
    number = ReportedNumber(
        code=_VOLUME if ml else _CERTAINTY,
        value=round(finding.value if ml else 100 * finding.value, 4),
        unit="ml" if ml else "%",
    )
    return ReportedGroup(
        numbers=(number,),
        tracking_uid=str(generate_uid(prefix=None)),
        tracking_id=finding.name,
        label=finding.text,
        images=here or images,
        finding=finding_code(finding.name, finding.code),
        algorithm=(finding.model["name"], finding.model["version"], finding.model["digest"]),
    )
