"""The structured reports among what a user names: files, folders, globs, DICOMDIR and zip."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from gpukit.dicom.reader.discovery import Location, Source, discover
from gpukit.dicom.reader.headers import read_header
from gpukit.dicom.sr.content_tree import is_structured_report
from gpukit.errors import FormatError, GpukitError, InputNotFoundError

__all__ = ["find_reports"]


def find_reports(source: Source) -> list[Location]:
    """Locations of the reports.

    Parameters
    ----------
    source : path or iterable of paths
        A file that is named must be a report; of a folder, zip or glob the reports are taken.

    Raises
    ------
    InputNotFoundError
        There is no such file, or no report in what is there.
    """
    reports: list[Location] = []
    damaged: list[str] = []
    places = discover(source)
    for location in places:
        if not location.walked:
            reports.append(location)
            continue
        try:
            uid = str(read_header(location).get("SOPClassUID") or "")
        except FormatError as error:
            if str(location).lower().endswith((".dcm", ".dicom")):
                damaged.append(str(error))
            continue
        except GpukitError as error:
            damaged.append(str(error))
            continue
        if is_structured_report(uid):
            reports.append(location)
    for text in damaged[:5]:
        warnings.warn(f"left out: {text}", UserWarning, stacklevel=2)
    if not reports:
        raise InputNotFoundError(
            f"none of the {len(places)} files is a structured report", file=_name(source),
            attribute="SOPClassUID", fix="name a DICOM SR file",
        )  # fmt: skip
    return reports


def _name(source: Source) -> str:
    if isinstance(source, str):
        return source
    if isinstance(source, Iterable):
        return ", ".join(str(name) for name in list(source)[:3])
    return str(source)
