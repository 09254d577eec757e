"""A comparison as text, JSON and CSV."""

from __future__ import annotations

import json
from typing import Any

from gpukit.documents.json_csv import csv_text, plain
from gpukit.findings.compare import Change, Comparison, Finding
from gpukit.findings.json_csv import SCHEMA_VERSION, measurement_object
from gpukit.findings.measurement import UNITS
from gpukit.findings.recist import CATEGORIES, Response
from gpukit.findings.text import number

__all__ = ["comparison_csv", "comparison_json", "comparison_text"]


def comparison_text(comparison: Comparison) -> str:
    """Return a table for people, and the response below it."""
    lines = [f"{n}: {name}" for n, name in enumerate(comparison.time_points, 1)]
    cells = [
        ["finding", "quantity", "unit", *(str(n) for n in range(1, len(comparison.time_points) + 1)), "change", "%"]
    ]
    for finding in comparison.findings:
        name = f"{finding.name} ({finding.kind}{'' if finding.status == 'compared' else ', ' + finding.status})"
        for n, change in enumerate(finding.changes):
            cells.append([name if n == 0 else "", *_cells(change)])
    widths = [max(len(row[n]) for row in cells) for n in range(len(cells[0]))]
    lines.append("")
    for row in cells:
        words = [
            cell.ljust(width) if n < 3 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(words).rstrip())
    if comparison.response is not None:
        lines += ["", *_response_lines(comparison.response)]
    lines += [f"note: {note}" for note in comparison.notes]
    return "\n".join(lines) + "\n"


def _cells(change: Change) -> list[str]:
    values = ["-" if value is None else number(round(value, 4)) for value in change.values]
    absolute = "" if change.absolute is None else f"{change.absolute:+.4g}"
    relative = "" if change.relative is None else f"{100 * change.relative:+.1f}"
    return [change.name.replace("_", " "), UNITS.get(change.unit, change.unit), *values, absolute, relative]


def _response_lines(response: Response) -> list[str]:
    sums = ", ".join("not measured" if value is None else f"{value:.1f} mm" for value in response.sums)
    lines = [f"RECIST 1.1: {response.category} ({CATEGORIES[response.category]})"]
    nodes = f", lymph nodes: {', '.join(response.nodes)}" if response.nodes else ""
    lines.append(f"  targets: {', '.join(response.targets)}{nodes}")
    lines.append(f"  sums of diameters: {sums}")
    return lines + [f"  {reason}" for reason in response.reasons]


def comparison_json(comparison: Comparison) -> str:
    """Return a document of kind ``comparison``."""
    response = comparison.response
    document: dict[str, Any] = {
        "schema_version": SCHEMA_VERSION,
        "kind": "comparison",
        "time_points": list(comparison.time_points),
        "findings": [_finding_object(finding) for finding in comparison.findings],
        "recist": None if response is None else {
            "version": "1.1", "category": response.category, "sums_mm": response.sums, "nadir_mm": response.nadir,
            "change_from_baseline": response.from_baseline, "change_from_nadir": response.from_nadir,
            "targets": response.targets, "nodes": response.nodes, "new_lesions": response.new,
            "reasons": response.reasons,
        },
        "notes": list(comparison.notes),
    }  # fmt: skip
    return json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _finding_object(finding: Finding) -> dict[str, Any]:
    return {
        "name": finding.name,
        "type": finding.kind,
        "status": finding.status,
        "matched_by": finding.matched_by or None,
        "changes": [
            {
                "name": change.name, "unit": change.unit, "values": change.values,
                "absolute": change.absolute, "relative": change.relative,
            }
            for change in finding.changes
        ],
        "measurements": [None if one is None else measurement_object(one) for one in finding.measurements],
    }  # fmt: skip


def comparison_csv(comparison: Comparison) -> str:
    """One line for each quantity of each finding."""
    points = [f"value_{n}" for n in range(1, len(comparison.time_points) + 1)]
    columns = ["finding", "type", "status", "matched_by", "quantity", "unit", *points, "absolute", "relative", "recist"]
    rows = []
    category = "" if comparison.response is None else comparison.response.category
    for finding in comparison.findings:
        for change in finding.changes:
            numbers = (*change.values, change.absolute, change.relative)
            cells = ["" if value is None else repr(plain(value)) for value in numbers]
            head = [finding.name, finding.kind, finding.status, finding.matched_by, change.name, change.unit]
            rows.append((*head, *cells, category))
    return csv_text(columns, rows)
