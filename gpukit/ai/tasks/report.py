"""Findings of one or several models as one structured document, and as a DICOM SR."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from gpukit.ai.model.description import Model
from gpukit.ai.tasks.classify import Classification, Prediction, classify
from gpukit.ai.tasks.detect import Detections, detect
from gpukit.ai.tasks.label_summary import amount, summary
from gpukit.ai.tasks.segment import segment
from gpukit.errors import InputError, ModelError
from gpukit.segmentation import Segmentation
from gpukit.volume import Volume

__all__ = ["Finding", "Report", "report"]


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
