"""A structured report (TID 1500) of measurements in JSON or CSV, on the images that were measured."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.documents.atomic import atomic_path, check_output
from gpukit.errors import FormatError, InputNotFoundError, SelectionError
from gpukit.findings.measurement import Measurement, Quantity, Row
from gpukit.volume import SourceInstance

__all__ = ["create"]

_MOST_BYTES, _MOST_ROWS = 64 << 20, 100_000
#: Names of quantities in a CSV -> concept and its unit, as `gpukit measure` gives them.
_CODES = {
    "length": Code("410668003", "SCT", "Length"),
    "area": Code("42798000", "SCT", "Area"),
    "volume": Code("118565006", "SCT", "Volume"),
    "mean": Code("373098007", "SCT", "Mean"),
    "minimum": Code("255605001", "SCT", "Minimum"),
    "maximum": Code("56851009", "SCT", "Maximum"),
    "long_axis": Code("103339001", "SCT", "Long Axis"),
    "short_axis": Code("103340004", "SCT", "Short Axis"),
    "angle": Code("1483009", "SCT", "Angle"),
    "perimeter": Code("131191004", "SCT", "Perimeter"),
}


def create(
    measurements: str | PathLike[str] | Sequence[Measurement | Row],
    output: str | PathLike[str],
    *,
    images: str | PathLike[str] | Sequence[str | PathLike[str]],
    observer: str = "",
    title: str = "",
    force: bool = False,
) -> Path:
    """Write a structured report of measurements.

    Parameters
    ----------
    measurements : path, or sequence of Measurement
        JSON as ``gpukit measure --format json`` writes it; or CSV with the columns ``file`` or ``sop_instance_uid``,
        ``name``, ``value``, ``unit`` (UCUM), and where wished ``label``, ``tracking_id``, ``tracking_uid``, ``frame``,
        ``code``, ``scheme``, ``meaning``.
    output : path
        The DICOM SR file.
    images : path or sequence of paths
        The measured images: files, folders, zips.
    observer : str
        Who measured, as DICOM writes names; empty has the program alone as observer.
    title : str
        Description of the series.
    force : bool
        Overwrite the file.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    FormatError
        The list is damaged; names the line.
    SelectionError
        A measured image is not among `images`.
    DependencyError
        highdicom is missing.
    """
    from gpukit.findings.dicom_objects import write_sr
    from gpukit.findings.measurement import Options
    from gpukit.report.images.index import ImageIndex

    target = check_output(output, force=force)
    folders = [Path(images)] if isinstance(images, (str, PathLike)) else [Path(path) for path in images]
    index = ImageIndex(folders)
    if not index.images:
        raise InputNotFoundError("holds no DICOM image", file=", ".join(map(str, folders)), attribute="image")
    file = str(measurements) if isinstance(measurements, (str, PathLike)) else "measurements"
    rows = [
        replace(row, measurement=_placed(row.measurement, row, index, file))
        for row in _rows(measurements)
        if row.measurement is not None
    ]
    if not rows:
        raise FormatError("holds no measurement", file=file)
    with atomic_path(target, force=force) as temporary:
        write_sr(rows, temporary, Options(title=title, values={"observer": observer} if observer else {}))
    return target


def _rows(measurements: str | PathLike[str] | Sequence[Measurement | Row]) -> list[Row]:
    if not isinstance(measurements, (str, PathLike)):
        return [one if isinstance(one, Row) else Row(file="", measurement=one) for one in measurements]
    path = Path(measurements)
    if path.suffix.lower() == ".csv":
        return _csv_rows(path)
    from gpukit.findings.read import read_measurements

    return read_measurements(path)


def _csv_rows(path: Path) -> list[Row]:
    """Rows of a CSV; lines of one file, frame, label and tracking belong to one measurement."""
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise FormatError("is too large for a list of measurements", file=path)
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=path) from error
    except UnicodeDecodeError as error:
        raise FormatError("is not UTF-8", file=path) from error
    reader = csv.DictReader(text.splitlines())
    columns = set(reader.fieldnames or ())
    value_column = "value"
    name_column = "name" if "name" in columns else "quantity"
    if value_column not in columns or name_column not in columns or not columns & {"file", "sop_instance_uid"}:
        raise FormatError(
            "line 1: the columns name, value and file or sop_instance_uid are needed",
            file=path,
            fix="give the first line as file,name,value,unit",
        )
    grouped: dict[tuple[str, ...], list[Quantity]] = {}
    for line, item in enumerate(reader, 2):
        if line > _MOST_ROWS:
            raise FormatError(f"has more than {_MOST_ROWS} lines", file=path)
        name = (item.get(name_column) or "").strip()
        try:
            value = float(item.get(value_column) or "nan")
        except ValueError:
            raise FormatError(f"line {line}: {str(item.get(value_column))[:20]!r} is not a number", file=path) from None
        if value != value or value in (float("inf"), float("-inf")):
            raise FormatError(f"line {line}: the value is missing or not finite", file=path, attribute=name[:40])
        if not name:
            raise FormatError(f"line {line}: the name is missing", file=path)
        code = _CODES.get(name.lower().replace(" ", "_"))
        if item.get("code"):
            code = Code(item["code"], item.get("scheme") or "DCM", item.get("meaning") or name)
        key = tuple(
            (item.get(column) or "").strip()
            for column in ("file", "sop_instance_uid", "frame", "label", "tracking_id", "tracking_uid")
        )
        grouped.setdefault(key, []).append(Quantity(name, value, (item.get("unit") or "1").strip(), code))
    return [
        Row(
            file=key[0],
            frame=int(key[2]) if key[2].isdigit() else None,
            measurement=Measurement(
                kind="measurement",
                quantities=tuple(quantities),
                label=key[3],
                tracking_id=key[4],
                tracking_uid=key[5],
                sources=(SourceInstance("", key[1], key[0], frame=int(key[2]) if key[2].isdigit() else None),),
            ),
        )
        for key, quantities in grouped.items()
    ]


def _placed(measured: Measurement, row: Row, index: Any, file: str) -> Measurement:
    """The measurement with its images where they are now."""
    sources = measured.sources or (SourceInstance("", "", row.file, frame=row.frame),)
    return replace(measured, sources=tuple(_source(one, index, file) for one in sources))


def _source(source: SourceInstance, index: Any, file: str) -> SourceInstance:
    header = index.images.get(source.sop_instance_uid)
    if header is None and not source.sop_instance_uid and source.path:
        name = Path(source.path).name
        fitting = [h for h in index.images.values() if Path(h.location.member or h.location.path).name == name]
        header = fitting[0] if len(fitting) == 1 else None
    if header is None:
        what = source.sop_instance_uid or source.path
        raise SelectionError(
            f"the measured image {what[:80]} is not in the folder of the images",
            file=file,
            attribute="image",
            fix="name the folder of the measured images with --image",
        )
    return replace(
        source,
        sop_class_uid=str(header.get("SOPClassUID", "")),
        sop_instance_uid=str(header.get("SOPInstanceUID", "")),
        path=header.location.path,
        member=header.location.member,
    )
