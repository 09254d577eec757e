"""Files of points along a vessel or a spine: text, CSV, JSON and the markups of 3D Slicer."""

from __future__ import annotations

import json
import os
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


def read_centerline(path: str | os.PathLike[str]) -> tuple[Points, str | None]:
    """Points of a centreline from a file.

    Text and CSV have one point a line: three numbers with blanks, commas or semicolons between. A first line may name
    the columns: ``x,y,z``; ``i,j,k`` (voxel indices); ``L,P,S`` or ``R,A,S`` (patient mm); others are passed over.
    Lines that begin with ``#`` are remarks, except ``# CoordinateSystem = LPS`` and ``# columns = ...`` of a ``.fcsv``
    file. JSON is a list of points, or an object with ``points`` and maybe ``frame`` (``voxel`` or ``patient``) or
    ``coordinateSystem`` (``LPS`` or ``RAS``). A markups file of 3D Slicer (``.mrk.json``) is in patient mm, in the
    coordinate system that it names; control points that were not placed are passed over.

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
        It is no list of at least two points.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise FormatError("the file is too large for a centreline", file=file)
        text = file.read_text(encoding="utf-8-sig")
        rows, frame = _from_json(json.loads(text)) if file.suffix.lower() == ".json" else _from_lines(text)
        points = np.array(rows, dtype=np.float64)
    except FileNotFoundError:
        raise InputNotFoundError("there is no such centreline", file=file) from None
    except OSError as error:
        raise FormatError(f"the centreline cannot be read: {error.strerror}", file=file) from error
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise FormatError(f"this is no list of points with three numbers each ({error})", file=file) from error
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise FormatError("this is no list of points with three finite numbers each", file=file)
    if not 2 <= len(points) <= _MOST_POINTS:
        raise FormatError(f"a centreline has 2 to {_MOST_POINTS} points, not {len(points)}", file=file)
    return points, frame


def _from_lines(text: str) -> tuple[Any, str | None]:
    rows: list[list[float]] = []
    chosen: tuple[int, ...] | None = None
    frame: str | None = None
    factors: tuple[float, float, float] = (1, 1, 1)
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
            if rows or titled or chosen is not None:
                raise ValueError(f"line {number}") from None
            titled = True
            chosen, frame, factors = _named_columns(words)
            continue
        if len(row) != 3:
            raise ValueError(f"line {number} has {len(row)} numbers")
        rows.append(row)
    return (np.array(rows) * factors if rows else [[]]), frame


def _words(line: str) -> list[str]:
    """Values of a line; an empty one between two commas counts."""
    for mark in (",", ";", "\t"):
        if mark in line:
            words = [word.strip() for word in line.split(mark)]
            return words if any(words) else []
    return line.split()


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
        markup = document["markups"][0]
        frame, factors = _system(markup.get("coordinateSystem", "LPS"))
        placed = [
            point["position"]
            for point in markup["controlPoints"]
            if point.get("positionStatus", "defined") in ("defined", "preview")
        ]
        return np.array(placed, dtype=np.float64).reshape(-1, 3) * factors, frame
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


def _three(points: Any) -> Any:
    """Lists of three numbers, also where points are objects with x, y and z."""
    return [[p["x"], p["y"], p["z"]] if isinstance(p, Mapping) else p for p in points]
