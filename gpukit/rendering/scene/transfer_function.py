"""Transfer functions: what values look like in volume rendering, as JSON; several come with gpukit."""

from __future__ import annotations

import json
import math
import os
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gpukit.errors import FormatError, InputError, InputNotFoundError, UnitError
from gpukit.units import ValueUnit
from gpukit.volume import Volume

__all__ = ["Transfer", "find_transfer", "names_of_transfers", "read_transfer", "transfer_for"]

SCHEMA_VERSION = 1
_FOLDER = Path(__file__).parent / "transfers"
_LARGEST = 1 << 20  # bytes of a file; a few hundred points need a fraction
_KEYS = {"schema_version", "description", "unit", "percentiles", "shading", "points", "gradient_opacity"}
_LIGHT = ("ambient", "diffuse", "specular", "shininess")
#: Entries of the table that a function is sampled into.
_ENTRIES = 4096
_SMALLEST = 10.0  # mm across, below which opacity is counted in shares of the volume


@dataclass(frozen=True)
class Transfer:
    """Colour and opacity by value, linear between points.

    Parameters
    ----------
    name : str
        Of the file, for messages.
    points : tuple of (value, (red, green, blue), opacity)
        At least two, by rising value; colours 0 to 1, opacity as extinction *per mm*, so that the picture depends
        neither on the distance of samples nor on the voxels: a body of thickness d lets ``exp(-opacity * d)`` pass.
        Beyond the first and the last value these hold.
    unit : str or None
        Unit that the volume's values must have; None takes any.
    percentiles : (float, float) or None
        Values are then shares: 0 is the first of these percentiles of the volume, 1 the second. None takes them as
        they are.
    shading : (ambient, diffuse, specular, shininess) or None
        Light after Phong from the viewer; None draws the colours as they are.
    gradient_opacity : tuple of (gradient, factor)
        Factors of the opacity by size of the gradient in value (or share, with `percentiles`) per mm, by rising
        gradient, linear between and constant beyond them: borders are drawn denser than what they bound. Empty
        for none.
    is_relative: bool
        Opacity and gradients were chosen for bodies of centimetres, and `fitted` changes them for smaller volumes: so
        those that come with gpukit, and not those of a user.
    """

    name: str
    points: tuple[tuple[float, tuple[float, float, float], float], ...]
    unit: str | None = None
    percentiles: tuple[float, float] | None = None
    shading: tuple[float, float, float, float] | None = None
    gradient_opacity: tuple[tuple[float, float], ...] = ()
    is_relative: bool = False

    def fitted(self, volume: Volume) -> tuple[Transfer, str]:
        """Return the look for a volume of its size, and a note where that is another one.

        A volume of less than 10 mm across lets all light pass at an extinction that suits a body. Lengths are then
        counted as if the volume were 10 mm across.
        """
        grid = volume.grid
        across = float(np.linalg.norm(grid.affine[:3, :3] @ np.asarray(grid.shape[::-1], float)))
        if not self.is_relative or across >= _SMALLEST or across <= 0:
            return self, ""
        factor = _SMALLEST / across
        points = tuple((value, color, mu * factor) for value, color, mu in self.points)
        sizes = tuple((size * factor, share) for size, share in self.gradient_opacity)
        note = (
            f"the volume is {across:.4g} mm across: the opacity of {self.name} is per {1 / factor:.4g} mm instead of "
            "per mm"
        )
        return replace(self, points=points, gradient_opacity=sizes, is_relative=False), note

    def factors(self, window: tuple[float, float]) -> tuple[NDArray[np.float64], tuple[float, float]] | None:
        """Gradient opacity as `gpukit.ops.raycast` takes it, for the `window` of a volume."""
        if not self.gradient_opacity:
            return None
        sizes = np.array([size for size, _ in self.gradient_opacity])
        factors = np.interp(np.linspace(sizes[0], sizes[-1], _ENTRIES), sizes, [f for _, f in self.gradient_opacity])
        unit = (window[1] - window[0]) / (self.points[-1][0] - self.points[0][0])  # 1 where values are not shares
        return factors, (float(sizes[0] * unit), float(sizes[-1] * unit))

    def table(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return colours (n, 3) and opacities (n,) at equally spaced values from the first point to the last."""
        values = np.array([value for value, _, _ in self.points])
        at = np.linspace(values[0], values[-1], _ENTRIES)
        colors = np.stack([np.interp(at, values, [color[c] for _, color, _ in self.points]) for c in range(3)], axis=1)
        return colors, np.interp(at, values, [opacity for _, _, opacity in self.points])

    def window(self, volume: Volume) -> tuple[float, float]:
        """Return the volume's values at the first and the last point.

        Raises
        ------
        UnitError
            The volume's values have another unit.
        """
        if self.unit is not None and volume.unit != self.unit:
            raise UnitError(
                f"the transfer function {self.name} is for {self.unit} and the volume is in {volume.unit}",
                attribute="transfer", fix="choose another",
            )  # fmt: skip
        first, last = self.points[0][0], self.points[-1][0]
        if self.percentiles is None:
            return first, last
        from gpukit.ops.statistics import percentiles

        low, high = percentiles(volume.array, self.percentiles, padding=volume.padding)
        if not high > low:
            low, high = (low, low + 1.0) if math.isfinite(low) else (0.0, 1.0)
        return low + first * (high - low), low + last * (high - low)

    def settled(self, volume: Volume) -> Transfer:
        """Return the same look with the volume's values instead of shares: what several pictures of it need only once.

        Raises
        ------
        UnitError
            The volume's values have another unit.
        """
        if self.percentiles is None:
            return self
        low, high = self.window(volume)
        first, last = self.points[0][0], self.points[-1][0]
        unit = (high - low) / (last - first)
        points = tuple((low + (value - first) * unit, color, mu) for value, color, mu in self.points)
        sizes = tuple((size * unit, factor) for size, factor in self.gradient_opacity)
        return replace(self, points=points, percentiles=None, gradient_opacity=sizes)


@cache
def names_of_transfers() -> tuple[str, ...]:
    """Return names of the transfer functions that come with gpukit."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.json")))


def find_transfer(name: str) -> Transfer:
    """Return a transfer function that comes with gpukit; InputError where there is none of that name."""
    if name not in names_of_transfers():
        raise InputError(
            f"there is no transfer function {name!r}", attribute="transfer",
            fix=f"use one of {', '.join(names_of_transfers())}, or a .json file",
        )  # fmt: skip
    return replace(read_transfer(_FOLDER / f"{name}.json"), is_relative=True)


def transfer_for(volume: Volume) -> Transfer:
    """Return the one that suits the volume's modality: bone for CT, hot metal for PET, else the one for MR."""
    modality = volume.metadata.get("Modality")
    if volume.unit == ValueUnit.HU:
        return find_transfer("ct-bone")
    return find_transfer("pet-hot" if modality in ("PT", "NM") else "mr-default")


def read_transfer(path: str | os.PathLike[str]) -> Transfer:
    """Read a transfer function from a JSON file.

    ::

        {"schema_version": 1, "unit": "HU",
         "shading": {"ambient": 0.25, "diffuse": 0.75, "specular": 0.25, "shininess": 24},
         "points": [{"value": 150, "color": [0.8, 0.5, 0.4], "opacity": 0},
                    {"value": 400, "color": [1, 0.9, 0.8], "opacity": 0.5}]}

    Only ``points`` must be there; ``description`` and ``percentiles`` may be. See `Transfer` for what they mean.

    Raises
    ------
    InputNotFoundError
        There is no such file.
    FormatError
        It is not JSON, or something in it is wrong; names the place.
    """
    file = Path(path)
    try:
        if file.stat().st_size > _LARGEST:
            raise FormatError("the file is too large for a transfer function", file=file)
        document = json.loads(file.read_text(encoding="utf-8-sig"))
    except FileNotFoundError:
        raise InputNotFoundError("there is no such transfer function", file=file) from None
    except OSError as error:
        raise FormatError(f"the transfer function cannot be read: {error.strerror}", file=file) from error
    except (ValueError, RecursionError) as error:
        raise FormatError(f"the transfer function is not JSON: {error}", file=file) from error
    return _Checked(file).transfer(document)


class _Checked:
    """A document turned into a `Transfer`, or into an error that names the place."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def wrong(self, what: str, where: str) -> FormatError:
        return FormatError(what, file=self.file, attribute=where)

    def transfer(self, document: Any) -> Transfer:
        if not isinstance(document, dict):
            raise self.wrong("a transfer function is an object with points", "points")
        for key in document:
            if key not in _KEYS:
                raise self.wrong("unknown key", str(key)[:60])
        if document.get("schema_version", SCHEMA_VERSION) != SCHEMA_VERSION:
            raise self.wrong(f"only version {SCHEMA_VERSION} can be read", "schema_version")
        unit = document.get("unit")
        if unit is not None and unit not in list(ValueUnit):
            raise self.wrong(f"unknown unit {str(unit)[:60]!r}", "unit")
        return Transfer(
            self.file.stem, self.points(document.get("points")), unit, self.percentiles(document.get("percentiles")),
            self.shading(document.get("shading")), self.gradients(document.get("gradient_opacity")),
        )  # fmt: skip

    def points(self, items: Any) -> tuple[tuple[float, tuple[float, float, float], float], ...]:
        if not isinstance(items, list) or len(items) < 2:
            raise self.wrong("a transfer function needs at least two points", "points")
        points: list[tuple[float, tuple[float, float, float], float]] = []
        for n, point in enumerate(items):
            where = f"points[{n}]"
            if not isinstance(point, dict) or set(point) != {"value", "color", "opacity"}:
                raise self.wrong("a point has a value, a color and an opacity, and nothing else", where)
            value = self.number(point["value"], f"{where}.value")
            if points and not value > points[-1][0]:
                raise self.wrong("values must rise from point to point", f"{where}.value")
            color = point["color"]
            if not isinstance(color, list) or len(color) != 3:
                raise self.wrong("a color is red, green and blue from 0 to 1", f"{where}.color")
            red, green, blue = (self.number(c, f"{where}.color", 0, 1) for c in color)
            points.append((value, (red, green, blue), self.number(point["opacity"], f"{where}.opacity", 0, 1e6)))
        return tuple(points)

    def gradients(self, items: Any) -> tuple[tuple[float, float], ...]:
        if items is None:
            return ()
        if not isinstance(items, list) or len(items) < 2:
            raise self.wrong("gradient opacity needs at least two points", "gradient_opacity")
        points: list[tuple[float, float]] = []
        for n, point in enumerate(items):
            where = f"gradient_opacity[{n}]"
            if not isinstance(point, dict) or set(point) != {"gradient", "factor"}:
                raise self.wrong("a point has a gradient and a factor, and nothing else", where)
            size = self.number(point["gradient"], f"{where}.gradient", 0)
            if points and not size > points[-1][0]:
                raise self.wrong("gradients must rise from point to point", f"{where}.gradient")
            points.append((size, self.number(point["factor"], f"{where}.factor", 0, 1000)))
        return tuple(points)

    def percentiles(self, pair: Any) -> tuple[float, float] | None:
        if pair is None:
            return None
        if not isinstance(pair, list) or len(pair) != 2:
            raise self.wrong("percentiles are two numbers from 0 to 100", "percentiles")
        low, high = (self.number(q, "percentiles", 0, 100) for q in pair)
        if not low < high:
            raise self.wrong("the second percentile must be higher than the first", "percentiles")
        return low, high

    def shading(self, terms: Any) -> tuple[float, float, float, float] | None:
        if terms is None:
            return None
        if not isinstance(terms, dict) or set(terms) != set(_LIGHT):
            raise self.wrong(f"shading has {', '.join(_LIGHT)}, and nothing else", "shading")
        ambient, diffuse, specular, shininess = (self.number(terms[key], f"shading.{key}", 0, 1000) for key in _LIGHT)
        return ambient, diffuse, specular, shininess

    def number(self, value: Any, where: str, low: float = -1e30, high: float = 1e30) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not low <= value <= high:
            range_text = "a finite number" if high == 1e30 else f"a number from {low:g} to {high:g}"
            raise self.wrong(f"must be {range_text}", where)
        return float(value)
