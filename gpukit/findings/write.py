"""Measurements as JSON and CSV, and the table of all formats that they can be written in.

The JSON document is described in ``docs/measure.md``; `gpukit.findings.read` reads it back.
"""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

from gpukit.documents.atomic import atomic_path
from gpukit.documents.json_csv import csv_cell, plain
from gpukit.errors import InputError, OutputError
from gpukit.findings.measurement import Measurement, Row

__all__ = ["FORMATS", "SCHEMA_VERSION", "Format", "Options", "format_of", "render", "write"]

#: Raised by one when a field changes its meaning or goes away; new fields do not count.
SCHEMA_VERSION = 1


@dataclass(frozen=True)
class Options:
    """What a writer may be told.

    Parameters
    ----------
    title : str
        Heading or description of the whole result.
    values : mapping
        Options of one format, by name.
    """

    title: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Format:
    """One format to write measurements in.

    Parameters
    ----------
    name : str
        What ``--format`` calls it.
    suffixes : tuple of str
        File suffixes that choose it where ``--format`` does not.
    writer : str
        ``module:function``. For text, called as ``function(rows, options) -> str``; for a binary format as
        ``function(rows, path, options)``, where `path` is a temporary file that is moved into place afterwards.
    binary : bool
        Whether it can only go to a file.
    """

    name: str
    suffixes: tuple[str, ...]
    writer: str
    binary: bool = False

    def load(self) -> Callable[..., Any]:
        """The function, imported when it is needed."""
        module, _, function = self.writer.partition(":")
        loaded: Callable[..., Any] = getattr(import_module(module), function)
        return loaded


#: Every format, by name. The first one is the default on a terminal.
FORMATS: dict[str, Format] = {
    known.name: known
    for known in (
        Format("text", (".txt",), "gpukit.findings.text:text"),
        Format("json", (".json",), "gpukit.findings.write:json_text"),
        Format("csv", (".csv",), "gpukit.findings.write:csv_text"),
        Format("gsps", (".dcm",), "gpukit.findings.dicom_objects:write_gsps", binary=True),
        Format("sr", (".dcm",), "gpukit.findings.dicom_objects:write_sr", binary=True),
        Format("seg", (".dcm",), "gpukit.findings.segment:write_seg", binary=True),
    )
}


def format_of(output: str | Path | None, name: str | None = None) -> Format:
    """The format that a name asks for, else the one that the output's suffix does, else text.

    Raises
    ------
    InputError
        There is no such format, or the suffix does not say which one is meant.
    """
    if name is not None:
        if name.lower() not in FORMATS:
            raise InputError(f"there is no format {name!r}", attribute="format", fix=f"use one of {', '.join(FORMATS)}")
        chosen = FORMATS[name.lower()]
        if chosen.binary and output in (None, "-", Path("-")):
            raise InputError(f"{chosen.name} can only go to a file", attribute="format", fix="give --output FILE")
        return chosen
    if output is None or str(output) == "-":
        return FORMATS["text"]
    suffix = Path(output).suffix.lower()
    fitting = [known for known in FORMATS.values() if suffix in known.suffixes]
    if len(fitting) == 1:
        return fitting[0]
    names = [known.name for known in fitting] or list(FORMATS)
    raise InputError(
        f"the suffix {suffix!r} does not say which format is meant", file=output, attribute="format",
        fix=f"give --format {' or '.join(names)}",
    )  # fmt: skip


def render(rows: Sequence[Row], form: Format, options: Options | None = None) -> str:
    """The text of a format that is text."""
    text: str = form.load()(rows, options or Options())
    return text


def write(
    rows: Sequence[Row], output: str | Path, form: Format, *, options: Options | None = None, force: bool = False
) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    OutputExistsError
        It exists and `force` is false.
    OutputError
        It cannot be written, or there is no measurement for a format that can hold nothing else.
    """
    chosen = options or Options()
    if form.binary and not any(row.measurement for row in rows):
        raise OutputError(f"there is no measurement to write as {form.name}", file=output)
    with atomic_path(output, force=force) as temporary:
        if form.binary:
            form.load()(rows, temporary, chosen)
        else:
            temporary.write_text(render(rows, form, chosen), encoding="utf-8")


# ---- JSON


def json_text(rows: Sequence[Row], options: Options) -> str:
    """A document of kind ``measurements``."""
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
    made: dict[str, Any] = {"type": measured.kind, "label": measured.label}
    if measured.tracking_id or measured.tracking_uid:
        made["tracking"] = {"identifier": measured.tracking_id, "uid": measured.tracking_uid}
    made["quantities"] = [
        {"name": q.name, "value": q.value, "unit": q.unit, "code": list(q.code) if q.code else None}
        for q in measured.quantities
    ]
    if measured.method:
        made["method"] = measured.method
    made["graphics"] = [
        {"type": g.type, "space": g.space, "points": [list(p) for p in g.points]} for g in measured.graphics
    ]
    if measured.frame_of_reference_uid:
        made["frame_of_reference_uid"] = measured.frame_of_reference_uid
    scale = measured.calibration
    made["calibration"] = None if scale is None else {
        "source": scale.source, "scale": list(scale.scale), "units": list(scale.units), "text": scale.text
    }  # fmt: skip
    made["sources"] = [
        {
            "sop_class_uid": s.sop_class_uid, "sop_instance_uid": s.sop_instance_uid,
            "path": s.path, "member": s.member, "frame": s.frame,
        }
        for s in measured.sources
    ]  # fmt: skip
    made["details"] = [{"name": d.name, "value": d.value, "unit": d.unit, "source": d.source} for d in measured.details]
    made["notes"] = list(measured.notes)
    if measured.extra:
        made.update({key: value for key, value in measured.extra.items() if key not in made})
    return made


# ---- CSV


def csv_text(rows: Sequence[Row], options: Options) -> str:
    """A header line and one line a row; a column for each quantity, with its unit in the next one."""
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
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(map(csv_cell, columns))
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
        writer.writerow([csv_cell(cell) for cell in cells])
    return out.getvalue()
