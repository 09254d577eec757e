"""Measurements read back: from gpukit's JSON, and from the DICOM objects that a reader is known for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from os import PathLike
from pathlib import Path
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.errors import FormatError, InputNotFoundError, TooLargeError
from gpukit.findings.json_csv import SCHEMA_VERSION
from gpukit.findings.measurement import Calibration, Detail, Graphic, Measurement, Quantity, Row
from gpukit.volume import SourceInstance

__all__ = ["DICOM_READERS", "read_measurements"]


def _gsps(path: Path) -> list[Row]:
    from gpukit.findings.dicom_read import read_gsps

    return read_gsps(path)


def _sr(path: Path) -> list[Row]:
    from gpukit.findings.dicom_read import read_sr

    return read_sr(path)


#: Reader of each SOP class. A key may be the beginning of several UIDs, ending in a dot.
DICOM_READERS: dict[str, Callable[[Path], list[Row]]] = {
    "1.2.840.10008.5.1.4.1.1.11.": _gsps,
    "1.2.840.10008.5.1.4.1.1.88.": _sr,
}

_LIMIT = 256 * 1024 * 1024


def read_measurements(path: str | PathLike[str]) -> list[Row]:
    """Return measurements of a file: gpukit's JSON, or a DICOM object.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        It is neither, or is damaged.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            head = stream.read(132)
            size = file.stat().st_size
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=file) from error
    if head[128:132] != b"DICM" and head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        if size > _LIMIT:
            raise TooLargeError(f"{size} bytes of JSON are not a list of measurements", file=file)
        return _read_json(file)
    from gpukit.dicom.reader.discovery import Location
    from gpukit.dicom.reader.headers import read_header

    uid = str(read_header(Location(str(file))).get("SOPClassUID", ""))
    for prefix, read in DICOM_READERS.items():
        if uid == prefix or (prefix.endswith(".") and uid.startswith(prefix)):
            return read(file)
    raise FormatError("holds no measurements that can be read", file=file, attribute="SOPClassUID")


def _read_json(file: Path) -> list[Row]:
    try:
        document = json.loads(file.read_text(encoding="utf-8-sig"))
        if document.get("kind") != "measurements":
            raise FormatError("is JSON, but no list of measurements", file=file, attribute="kind")
        if document.get("schema_version") != SCHEMA_VERSION:
            raise FormatError(
                f"schema_version {document.get('schema_version')!r} is not {SCHEMA_VERSION}",
                file=file, attribute="schema_version",
            )  # fmt: skip
        return [_row(item) for item in document["measurements"]]
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise FormatError(f"is not JSON: {error}", file=file) from error
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, FormatError):
            raise
        raise FormatError(f"is not a list of measurements: {type(error).__name__} {error}", file=file) from error


def _row(item: Mapping[str, Any]) -> Row:
    if "error" in item:
        return Row(file=str(item["file"]), frame=item.get("frame"), error=str(item["error"]))
    return Row(file=str(item["file"]), frame=item.get("frame"), measurement=_measurement(item))


_KNOWN = frozenset(
    {
        *("file", "frame", "type", "label", "tracking", "quantities", "method", "graphics", "frame_of_reference_uid"),
        *("calibration", "sources", "details", "notes"),
    }
)


def _measurement(item: Mapping[str, Any]) -> Measurement:
    scale, tracking = item.get("calibration"), item.get("tracking") or {}
    return Measurement(
        kind=str(item["type"]),
        label=str(item.get("label") or ""),
        tracking_id=str(tracking.get("identifier") or ""),
        tracking_uid=str(tracking.get("uid") or ""),
        quantities=tuple(
            Quantity(
                str(q["name"]),
                float("nan") if q["value"] is None else q["value"] + 0,
                str(q["unit"]),
                Code(*map(str, q["code"])) if q.get("code") else None,
            )
            for q in item["quantities"]
        ),
        method=str(item.get("method") or ""),
        graphics=tuple(
            Graphic(g["type"], tuple(tuple(map(float, p)) for p in g["points"]), g["space"])
            for g in item.get("graphics") or ()
        ),
        frame_of_reference_uid=str(item.get("frame_of_reference_uid") or ""),
        calibration=None if scale is None else _calibration(scale),
        sources=tuple(
            SourceInstance(
                str(s["sop_class_uid"]), str(s["sop_instance_uid"]), str(s["path"]), s.get("member"), s.get("frame")
            )
            for s in item.get("sources") or ()
        ),
        details=tuple(
            Detail(str(d["name"]), d["value"], str(d.get("unit", "")), str(d.get("source", "")))
            for d in item.get("details") or ()
        ),
        notes=tuple(map(str, item.get("notes") or ())),
        extra={key: value for key, value in item.items() if key not in _KNOWN} or None,
    )


def _calibration(item: Mapping[str, Any]) -> Calibration:
    (x, y), (x_unit, y_unit) = item["scale"], item["units"]
    return Calibration(str(item["source"]), (float(x), float(y)), (str(x_unit), str(y_unit)), str(item["text"]))
