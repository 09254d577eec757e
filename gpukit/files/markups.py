"""Files of points along a vessel or a spine: text, CSV, JSON and the markups of 3D Slicer."""

from __future__ import annotations

import csv
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import FormatError, InputNotFoundError

__all__ = ["read_centerline"]

Points = NDArray[np.float64]

_LARGEST = 1 << 24  # bytes of a file
_MOST_POINTS = 10_000
#: Names of three columns -> frame and factors to LPS.
_COLUMNS: dict[tuple[str, str, str], tuple[str | None, tuple[float, float, float]]] = {
    ("x", "y", "z"): (None, (1, 1, 1)),
    ("i", "j", "k"): ("voxel", (1, 1, 1)),
    ("l", "p", "s"): ("patient", (1, 1, 1)),
    ("r", "a", "s"): ("patient", (-1, -1, 1)),
}
#: CoordinateSystem of 3D Slicer -> frame and factors to LPS; older files number them.
_SYSTEMS: dict[str, tuple[str, tuple[float, float, float]]] = {
    "RAS": ("patient", (-1, -1, 1)), "0": ("patient", (-1, -1, 1)),
    "LPS": ("patient", (1, 1, 1)), "1": ("patient", (1, 1, 1)),
    "IJK": ("voxel", (1, 1, 1)), "2": ("voxel", (1, 1, 1)),
}  # fmt: skip


#: coordinateUnits of 3D Slicer, by their UCUM code -> mm.
_UNITS = {"mm": 1.0, "um": 1e-3, "nm": 1e-6, "cm": 10.0, "dm": 100.0, "m": 1000.0, "[in_i]": 25.4}
#: Kinds of markup that are points along a line; all others (planes, boxes, angles) are not.
_LINES = {"Curve": False, "ClosedCurve": True, "Line": False, "Fiducial": False}
#: Columns of a `.fcsv` file without a title of its own: the place stands after the name.
_FCSV_COLUMNS = (1, 2, 3)


def read_centerline(path: str | os.PathLike[str]) -> tuple[Points, str | None]:
    """Return points of a centerline from a file.

    Text and CSV have one point a line: three numbers with blanks, commas, semicolons or tabs between, in quotes or not.
    Where semicolons, tabs or blanks stand between them, a comma is a decimal comma. A first line may name the columns:
    ``x,y,z``; ``i,j,k`` (voxel indices); ``L,P,S`` or ``R,A,S`` (patient mm); others are passed over. Lines that begin
    with ``#`` are remarks, except ``# CoordinateSystem = LPS`` and ``# columns = ...`` of a ``.fcsv`` file, which is in
    RAS where it does not say so. JSON is a list of points, or an object with ``points`` and maybe ``frame`` (``voxel``
    or ``patient``) or ``coordinateSystem`` (``LPS`` or ``RAS``). A markups file of 3D Slicer (``.mrk.json``) is in the
    coordinate system and the unit of length that it names (LPS and mm by default); a closed curve ends where it begins;
    control points that were not placed are passed over.

    Returns
    -------
    array, (n, 3)
        At least two points.
    {"voxel", "patient"} or None
        What the file says that they are in: voxel indices (i, j, k) or LPS mm.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        It is not a list of at least two points, or holds several lists.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise FormatError("the file is too large for a centerline", file=file)
        text = file.read_text(encoding="utf-8-sig")
        if file.suffix.lower() == ".json":
            rows, frame = _from_json(json.loads(text))
        else:
            rows, frame = _from_lines(text, is_fcsv=file.suffix.lower() == ".fcsv")
        points = np.array(rows, dtype=np.float64)
    except FileNotFoundError:
        raise InputNotFoundError("there is no such centerline", file=file) from None
    except OSError as error:
        raise FormatError(f"the centerline cannot be read: {error.strerror}", file=file) from error
    except FormatError as error:
        raise FormatError(error.what, file=file, attribute=error.attribute, fix=error.fix) from None
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise FormatError(f"this is not a list of points with three numbers each ({error})", file=file) from error
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise FormatError("this is not a list of points with three finite numbers each", file=file)
    if not 2 <= len(points) <= _MOST_POINTS:
        raise FormatError(f"a centerline has 2 to {_MOST_POINTS} points, not {len(points)}", file=file)
    return points, frame


def _from_lines(text: str, *, is_fcsv: bool) -> tuple[Any, str | None]:
    rows: list[list[float]] = []
    chosen: tuple[int, ...] | None = None
    frame: str | None = None
    factors: tuple[float, float, float] = (1, 1, 1)
    if is_fcsv:
        chosen, (frame, factors) = _FCSV_COLUMNS, _system("RAS")
    titled = False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#"):
            name, _, value = (part.strip() for part in line.lstrip("# ").partition("="))
            if name.lower() == "coordinatesystem":
                frame, factors = _system(value)
            elif name.lower() == "columns":
                chosen, _, _ = _named_columns(_words(value))
            continue
        words = _words(line)
        if not words:
            continue
        picked = words if chosen is None else [words[n] for n in chosen if n < len(words)]
        try:
            row = [float(word) for word in picked]
        except ValueError:
            if rows or titled or (chosen is not None and not is_fcsv):
                raise ValueError(f"line {number}") from None
            titled = True
            if is_fcsv:
                chosen = _named_columns(words)[0] or chosen
            else:
                chosen, frame, factors = _named_columns(words)
            continue
        if len(row) != 3:
            raise ValueError(f"line {number} has {len(row)} numbers")
        rows.append(row)
    return (np.array(rows) * factors if rows else [[]]), frame


def _words(line: str) -> list[str]:
    """Return values of a line without their quotes; an empty one between two commas counts."""
    mark = next((mark for mark in (";", "\t") if mark in line), None)
    if mark is None and "," in line and not _has_decimal_commas(line):
        mark = ","
    if mark is None:
        words = line.split()
    else:
        words = next(csv.reader([line.strip()], delimiter=mark, skipinitialspace=True), [])
    words = [word.strip().strip("\"'").strip() for word in words]
    if mark != ",":
        words = [word.replace(",", ".") if _DECIMAL_COMMA.fullmatch(word) else word for word in words]
    return words if any(words) else []


_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:[eE][+-]?\d+)?")


def _has_decimal_commas(line: str) -> bool:
    """Return whether blanks stand between three numbers of which one at least has a decimal comma: ``1,5 2 3,25``."""
    words = line.split()
    return len(words) == 3 and all(_DECIMAL_COMMA.fullmatch(word) or re.fullmatch(r"[+-]?\d+", word) for word in words)


def _named_columns(words: list[str]) -> tuple[tuple[int, ...] | None, str | None, tuple[float, float, float]]:
    """Which columns a title names, and what they are in; None for a title that names none."""
    names = [word.strip("\"' ").lower().removesuffix("_mm").removesuffix(" (mm)") for word in words]
    for columns, (frame, factors) in _COLUMNS.items():
        if all(names.count(column) == 1 for column in columns):
            return tuple(names.index(column) for column in columns), frame, factors
    return None, None, (1, 1, 1)


def _system(name: Any) -> tuple[str, tuple[float, float, float]]:
    try:
        return _SYSTEMS[str(name).upper()]
    except KeyError:
        raise ValueError("the coordinate system is neither LPS nor RAS") from None


def _from_json(document: Any) -> tuple[Any, str | None]:
    if isinstance(document, list):
        return _three(document), None
    if "markups" in document:
        return _from_markups(document["markups"])
    points = np.array(_three(document["points"]), dtype=np.float64)
    frame_ = document.get("frame")
    if frame_ not in (None, "voxel", "patient"):
        raise ValueError("frame is neither voxel nor patient")
    if "coordinateSystem" not in document:
        return points, frame_
    frame, factors = _system(document["coordinateSystem"])
    if frame_ not in (None, frame):
        raise ValueError("frame and coordinateSystem contradict each other")
    return points.reshape(-1, 3) * factors, frame


def _from_markups(markups: Any) -> tuple[Any, str]:
    """Return the one list of points along a line of a markups file, as 3D Slicer shows it."""
    lists = [one for one in markups if len(_placed(one)) > 0]
    if len(lists) != 1:
        kinds = ", ".join(str(one.get("type", "markup")) for one in lists) or "none with points"
        raise FormatError(
            f"holds {len(lists)} lists of points ({kinds}) and a centerline is one", attribute="markups",
            fix="save the one that is meant to a file of its own",
        )  # fmt: skip
    markup = lists[0]
    kind = str(markup.get("type", "Curve"))
    if kind not in _LINES:
        raise FormatError(
            f"a markup of type {kind} is not a line of points", attribute="type", fix="save a curve or a list of points"
        )
    frame, factors = _system(markup.get("coordinateSystem", "LPS"))
    points = np.array(_placed(markup), dtype=np.float64).reshape(-1, 3) * factors
    if frame == "patient":
        points = points * _millimetres(markup.get("coordinateUnits", "mm"))
    if _LINES[kind] and len(points) > 2:
        points = np.concatenate([points, points[:1]])
    return points, frame


def _placed(markup: Any) -> list[Any]:
    return [
        point["position"]
        for point in markup["controlPoints"]
        if point.get("positionStatus", "defined") in ("defined", "preview")
    ]


def _millimetres(unit: Any) -> float:
    """Return how many mm a unit is: its UCUM code, or (code, scheme, meaning)."""
    code = unit[0] if isinstance(unit, list) and unit else unit
    factor = _UNITS.get(str(code).strip()) if isinstance(code, str) else None
    if factor is None:
        raise FormatError(
            f"the unit {str(code)[:40]!r} is not a known unit of length", attribute="coordinateUnits",
            fix=f"use one of {', '.join(_UNITS)}",
        )  # fmt: skip
    return factor


def _three(points: Any) -> Any:
    """Lists of three numbers, also where points are objects with x, y and z."""
    return [[p["x"], p["y"], p["z"]] if isinstance(p, Mapping) else p for p in points]
