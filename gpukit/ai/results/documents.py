"""Results of networks as plain dictionaries, ready for JSON: one form for the command line and for batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gpukit.ai.tasks.classify import Classification
from gpukit.ai.tasks.detect import Detection, Detections
from gpukit.ai.tasks.report import Report

__all__ = [
    "classification_document", "classification_entry", "detection_entry", "detections_document", "report_document",
]  # fmt: skip


def classification_document(results: Sequence[tuple[str, Classification]]) -> dict[str, Any]:
    """Models and answers; each answer comes with the name of its input."""
    models: list[object] = list(results[0][1].models) if results else []
    return {"models": models, "results": [classification_entry(one, name) for name, one in results]}


def classification_entry(one: Classification, name: str) -> dict[str, Any]:
    """One answer; `name` stands for the file where the picture is of none."""
    source = one.source
    return {
        "file": name if source is None else source.path,
        "sop_instance_uid": None if source is None else source.sop_instance_uid,
        "frame": None if source is None else source.frame,
        "slice": one.index,
        "phase": one.phase,
        "predictions": [
            {
                "class": p.name,
                "probability": p.probability,
                "found": p.found,
                "code": _code(p.code),
            }
            for p in one.predictions
        ],
    }


def detections_document(found: Detections, name: str) -> dict[str, Any]:
    """Model, limits, grid and boxes of one image."""
    return {
        "model": dict(found.model),
        "confidence": found.confidence,
        "iou": found.iou,
        "grid": {"shape": found.grid.shape, "affine_lps_mm": found.grid.affine},
        "detections": [detection_entry(one, name) for one in found.boxes],
    }


def detection_entry(one: Detection, name: str) -> dict[str, Any]:
    """One box; `name` stands for the file where the picture is of none."""
    half = len(one.box) // 2
    patient = one.patient
    return {
        "file": name if one.source is None else one.source.path,
        "sop_instance_uid": None if one.source is None else one.source.sop_instance_uid,
        "frame": None if one.source is None else one.source.frame,
        "slice": one.index,
        "phase": one.phase,
        "class": one.name,
        "score": one.score,
        "box": {"low": list(one.box[:half]), "high": list(one.box[half:])},
        "patient_lps_mm": None if patient is None else {"low": list(patient[:3]), "high": list(patient[3:])},
        "code": _code(one.code),
    }


def report_document(made: Report, title: str) -> dict[str, Any]:
    """Title, source (nothing that identifies the patient), models and findings."""
    facts = made.volume.metadata
    source = {
        "modality": facts.get("Modality"),
        "study_instance_uid": facts.get("StudyInstanceUID"),
        "series_instance_uid": facts.get("SeriesInstanceUID"),
        "instances": len({s.sop_instance_uid for s in made.volume.sources}),
    }
    return {
        "title": title,
        "source": source,
        "models": list(made.models),
        "findings": [{**asdict(one), "code": _code(one.code)} for one in made.findings],
    }


def _code(code: tuple[str, str, str] | None) -> dict[str, str] | None:
    return None if code is None else dict(zip(("value", "scheme", "meaning"), code, strict=True))
