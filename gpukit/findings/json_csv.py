"""Measurements as JSON and CSV. ``docs/measure.md`` describes the document; `gpukit.findings.read` reads it back."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from gpukit.documents.json_csv import csv_text, plain
from gpukit.findings.measurement import Measurement, Options, Row

__all__ = ["SCHEMA_VERSION", "json_text", "measurement_object", "measurements_csv"]

#: Raised by one when a field changes its meaning or goes away; new fields do not count.
SCHEMA_VERSION = 1


def json_text(rows: Sequence[Row], options: Options) -> str:
    """Return a document of kind ``measurements``."""
    document = {
        "schema_version": SCHEMA_VERSION,
        "kind": "measurements",
        **({"title": options.title} if options.title else {}),
        "measurements": [_row_object(row) for row in rows],
    }
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _row_object(row: Row) -> dict[str, Any]:
    head: dict[str, Any] = {"file": row.file, "frame": row.frame}
    return {**head, **(measurement_object(row.measurement) if row.measurement else {"error": row.error})}


def measurement_object(measured: Measurement) -> dict[str, Any]:
    """Plain data of a measurement, as the JSON document has it."""
    document: dict[str, Any] = {"type": measured.kind, "label": measured.label}
    if measured.tracking_id or measured.tracking_uid:
        document["tracking"] = {"identifier": measured.tracking_id, "uid": measured.tracking_uid}
    document["quantities"] = [
        {"name": q.name, "value": q.value, "unit": q.unit, "code": list(q.code) if q.code else None}
        for q in measured.quantities
    ]
    if measured.method:
        document["method"] = measured.method
    document["graphics"] = [
        {"type": g.type, "space": g.space, "points": [list(p) for p in g.points]} for g in measured.graphics
    ]
    if measured.frame_of_reference_uid:
        document["frame_of_reference_uid"] = measured.frame_of_reference_uid
    scale = measured.calibration
    document["calibration"] = None if scale is None else {
        "source": scale.source, "scale": list(scale.scale), "units": list(scale.units), "text": scale.text
    }  # fmt: skip
    document["sources"] = [
        {
            "sop_class_uid": s.sop_class_uid, "sop_instance_uid": s.sop_instance_uid,
            "path": s.path, "member": s.member, "frame": s.frame,
        }
        for s in measured.sources
    ]  # fmt: skip
    document["details"] = [
        {"name": d.name, "value": d.value, "unit": d.unit, "source": d.source} for d in measured.details
    ]
    document["notes"] = list(measured.notes)
    if measured.extra:
        document.update({key: value for key, value in measured.extra.items() if key not in document})
    return document


def measurements_csv(rows: Sequence[Row], options: Options) -> str:
    """Return a header line and one line a row; a column for each quantity, with its unit in the next one."""
    names = list(dict.fromkeys(q.name for row in rows if row.measurement for q in row.measurement.quantities))
    columns = [
        "file",
        "frame",
        "type",
        "label",
        *(c for n in names for c in (n, f"{n}_unit")),
        "scale",
        "notes",
        "error",
    ]
    lines = []
    for row in rows:
        measured = row.measurement
        cells: list[Any] = [row.file, "" if row.frame is None else row.frame]
        cells += ["", ""] if measured is None else [measured.kind, measured.label]
        for name in names:
            if measured is None or name not in measured:
                cells += ["", ""]
            else:
                quantity = measured.quantity(name)
                cells += ["" if math.isnan(quantity.value) else repr(plain(quantity.value)), quantity.unit]
        cells.append("" if measured is None or measured.calibration is None else measured.calibration.source)
        cells += ["" if measured is None else "; ".join(measured.notes), row.error]
        lines.append(cells)
    return csv_text(columns, lines)
