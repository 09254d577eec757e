"""Centrelines: read, made smooth, walked at equal steps with a frame that does not twist."""

from __future__ import annotations

import json
import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from gpukit.errors import FormatError, InputError, InputNotFoundError, TooLargeError

__all__ = ["frames_along", "read_centerline", "walk"]

Points = NDArray[np.float64]

_LARGEST = 1 << 24  # bytes of a file
_MOST_POINTS = 10_000
_MOST_STEPS = 100_000
_FINE = 64  # pieces that each span of the spline is measured in


def read_centerline(path: str | os.PathLike[str]) -> tuple[Points, str | None]:
    """Points of a centreline from a file.

    Text and CSV have one point a line: three numbers with blanks, commas or semicolons between; a first line of words
    and lines that begin with ``#`` are passed over. JSON is a list of points, or an object with ``points`` and maybe
    ``frame`` (``voxel`` or ``patient``). A markups file of 3D Slicer (``markups`` with ``controlPoints``) is in patient
    mm, in the coordinate system that it names.

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
        rows, frame = _from_json(json.loads(text)) if file.suffix.lower() == ".json" else (_lines(text), None)
        points = np.array(rows, dtype=np.float64)
    except FileNotFoundError:
        raise InputNotFoundError("there is no such centreline", file=file) from None
    except OSError as error:
        raise FormatError(f"the centreline cannot be read: {error.strerror}", file=file) from error
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, RecursionError) as error:
        raise FormatError(f"this is no list of points with three numbers each ({error})", file=file) from error
    if points.ndim != 2 or points.shape[1] != 3 or not np.isfinite(points).all():
        raise FormatError("this is no list of points with three finite numbers each", file=file)
    if not 2 <= len(points) <= _MOST_POINTS:
        raise FormatError(f"a centreline has 2 to {_MOST_POINTS} points, not {len(points)}", file=file)
    return points, frame


def _lines(text: str) -> list[list[float]]:
    rows: list[list[float]] = []
    titled = False
    for number, line in enumerate(text.splitlines(), 1):
        words = line.replace(",", " ").replace(";", " ").split()
        if not words or words[0].startswith("#"):
            continue
        try:
            row = [float(word) for word in words]
        except ValueError:
            if rows or titled:
                raise ValueError(f"line {number}") from None
            titled = True
            continue
        if len(row) != 3:
            raise ValueError(f"line {number} has {len(row)} numbers")
        rows.append(row)
    return rows or [[]]


def _from_json(document: Any) -> tuple[Any, str | None]:
    if isinstance(document, list):
        return document, None
    if "markups" in document:
        markup = document["markups"][0]
        points = np.array([point["position"] for point in markup["controlPoints"]], dtype=np.float64).reshape(-1, 3)
        system = str(markup.get("coordinateSystem", "LPS")).upper()
        if system not in ("LPS", "RAS", "0", "1"):
            raise ValueError("coordinateSystem is neither LPS nor RAS")
        return points * ((-1, -1, 1) if system in ("RAS", "0") else (1, 1, 1)), "patient"
    frame = document.get("frame")
    if frame not in (None, "voxel", "patient"):
        raise ValueError("frame is neither voxel nor patient")
    return document["points"], frame


def walk(points: ArrayLike, step: float) -> Points:
    """Points at equal distances along the smooth curve through `points`.

    The curve is a natural cubic spline over the lengths of the chords; it is measured along fine chords.

    Parameters
    ----------
    points : array_like, (n, 3)
        mm; neighbours that coincide count once.
    step : float
        mm between the points returned, changed by less than a step's share so that both ends are met.

    Raises
    ------
    InputError
        Fewer than two different points.
    TooLargeError
        The curve is too long for such steps.
    """
    p = np.asarray(points, dtype=np.float64)
    p = p[np.concatenate([[True], np.linalg.norm(np.diff(p, axis=0), axis=1) > 1e-6])]
    if len(p) < 2:
        raise InputError("a centreline needs two different points", attribute="centerline")
    t = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(p, axis=0), axis=1))])
    fine = np.unique(np.concatenate([np.linspace(a, b, _FINE + 1) for a, b in pairwise(t)]))
    curve = _spline(t, p, fine)
    length = np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    count = max(2, round(float(length[-1]) / step) + 1)
    if count > _MOST_STEPS:
        raise TooLargeError(f"the centreline is {length[-1]:.0f} mm long, too long for steps of {step:g} mm")
    at = np.interp(np.linspace(0.0, length[-1], count), length, fine)
    return _spline(t, p, at)


def _spline(t: Points, p: Points, at: Points) -> Points:
    """Natural cubic spline with knots `t` and values `p`, at the parameters `at`."""
    h = np.diff(t)
    slope = np.diff(p, axis=0) / h[:, None]
    bend = np.zeros_like(p)  # second derivatives; zero at the ends
    if len(t) > 2:
        main = 2.0 * (h[:-1] + h[1:])
        right = 6.0 * np.diff(slope, axis=0)
        for n in range(1, len(main)):  # tridiagonal elimination; the matrix is diagonally dominant
            w = h[n] / main[n - 1]
            main[n] -= w * h[n]
            right[n] -= w * right[n - 1]
        bend[-2] = right[-1] / main[-1]
        for n in range(len(main) - 2, -1, -1):
            bend[n + 1] = (right[n] - h[n + 1] * bend[n + 2]) / main[n]
    a = np.clip(np.searchsorted(t, at, side="right") - 1, 0, len(h) - 1)
    u, span = (at - t[a])[:, None], h[a][:, None]
    first = slope[a] - span * (2.0 * bend[a] + bend[a + 1]) / 6.0
    return np.asarray(p[a] + u * (first + u * (bend[a] / 2.0 + u * (bend[a + 1] - bend[a]) / (6.0 * span))))


def frames_along(curve: Points, *, angle: float = 0.0) -> tuple[Points, Points]:
    """Two unit vectors across the curve at each of its points, which turn as little as they can along it.

    Rotation-minimising frames by double reflection (Wang, Juettler, Zheng, Liu: Computation of rotation minimizing
    frames, ACM TOG 27, 2008). At the start the first vector is as close to the patient's left as it can be (to the back
    where the curve runs left), turned by `angle` degrees around the curve.

    Returns
    -------
    across, depth : arrays, (n, 3)
        ``depth`` is across x tangent.
    """
    tangent = np.gradient(curve, axis=0)
    tangent /= np.linalg.norm(tangent, axis=1, keepdims=True)
    across = np.empty_like(curve)
    start = np.array([1.0, 0.0, 0.0]) if abs(tangent[0, 0]) < 0.9 else np.array([0.0, 1.0, 0.0])
    start -= (start @ tangent[0]) * tangent[0]
    start /= np.linalg.norm(start)
    turn = np.radians(angle)
    across[0] = np.cos(turn) * start + np.sin(turn) * np.cross(tangent[0], start)
    for n in range(len(curve) - 1):
        v = curve[n + 1] - curve[n]
        c = v @ v
        r = across[n] - (2 / c) * (v @ across[n]) * v
        t = tangent[n] - (2 / c) * (v @ tangent[n]) * v
        v = tangent[n + 1] - t
        c = v @ v
        across[n + 1] = r if c < 1e-24 else r - (2 / c) * (v @ r) * v
    return across, np.cross(across, tangent)
