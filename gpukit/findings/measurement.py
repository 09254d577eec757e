"""Results of a measurement: numbers with units and codes, where they were taken and how they came about.

Everything here is frozen and plain, so that every writer (text, JSON, CSV, GSPS, SR) and every reader speaks of the
same thing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from gpukit.dicom.modules.codes import Code
from gpukit.errors import InputError
from gpukit.volume import SourceInstance

__all__ = [
    "Calibration",
    "Code",
    "Detail",
    "Graphic",
    "MaskBlock",
    "Measurement",
    "Options",
    "Quantity",
    "Row",
    "UNITS",
]


Point = tuple[float, ...]

#: UCUM units that measurements use -> the word for people. Anything else is shown as it is.
UNITS = {
    "1": "",
    "{pixels}": "pixels",
    "{square_pixels}": "square pixels",
    "{voxels}": "voxels",
    "mm2": "mm²",
    "mm3": "mm³",
    "cm2": "cm²",
    "deg": "°",
    "[hnsf'U]": "HU",
    "[hnsf'U]2": "HU²",
    "bit": "bits",
    "{SUVbw}g/ml": "SUVbw g/ml",
    "{SUVlbm}g/ml": "SUVlbm g/ml",
    "{SUVbsa}cm2/ml": "SUVbsa cm²/ml",
    "{SUVibw}g/ml": "SUVibw g/ml",
}


@dataclass(frozen=True, slots=True)
class Quantity:
    """One number of a measurement.

    Parameters
    ----------
    name : str
        For programs, in lower case with underscores, such as ``length`` or ``standard_deviation_population``.
    value : float or int
        Finite, or NaN where it is not defined (the skewness of a constant); never a made-up number.
    unit : str
        UCUM, such as ``mm``, ``mm2``, ``deg``, ``[hnsf'U]``, ``{pixels}``, ``1``.
    code : Code or None
        The concept that the number stands for, as an SR writes it.
    """

    name: str
    value: float
    unit: str
    code: Code | None = None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How a distance between pixels became a distance in the world, and who says so.

    Parameters
    ----------
    source : str
        The attribute or option that gave the scale: ``PixelSpacing``, ``ImagerPixelSpacing``,
        ``SequenceOfUltrasoundRegions``, ``NominalScannedPixelSpacing``, ``--calibration``, ``none`` ...
    scale : tuple of float
        Size of one pixel along the columns axis (x) and along the rows axis (y). For points in space (1.0, 1.0).
    units : tuple of str
        UCUM unit of each, ``{pixels}`` where there is no calibration; they differ in a spectrum or an M-mode region.
    text : str
        One sentence for people: where the scale comes from, and how far it is to be trusted.
    """

    source: str
    scale: tuple[float, float]
    units: tuple[str, str]
    text: str

    @property
    def unit(self) -> str:
        """Unit of a length in any direction.

        Raises
        ------
        InputError
            The two axes have different units: only a length along one axis has a meaning.
        """
        if self.units[0] != self.units[1]:
            raise InputError(
                f"one axis is in {self.units[0]}, the other in {self.units[1]}: a length across both has no meaning",
                attribute=self.source,
                fix="measure along one axis",
            )
        return self.units[0]

    @property
    def is_calibrated(self) -> bool:
        """Whether lengths are more than counts of pixels."""
        return "{pixels}" not in self.units

    @property
    def spacing(self) -> tuple[float, float]:
        """Scale along x and y where both have the same unit; raises as `unit` does where they differ."""
        _ = self.unit
        return self.scale


@dataclass(frozen=True, slots=True)
class Graphic:
    """A graphic that was drawn to measure.

    Parameters
    ----------
    type : str
        As in SCOORD: POINT, MULTIPOINT, POLYLINE (a closed one repeats its first point), CIRCLE (centre, point on the
        circumference), ELLIPSE (two ends of the major axis, two ends of the minor axis); with `space` "patient" as in
        SCOORD3D.
    points : tuple of points
        With `space` "pixel": (column, row), (0, 0) the *centre* of the first pixel of the frame ``sources[0]``
        (DICOM's SCOORD and GSPS count from the corner of that pixel: writers add 0.5).
        With `space` "patient": LPS mm.
    space : {"pixel", "patient"}
        What the points are in.
    """

    type: Literal["POINT", "MULTIPOINT", "POLYLINE", "CIRCLE", "ELLIPSE"]
    points: tuple[Point, ...]
    space: Literal["pixel", "patient"] = "pixel"


@dataclass(frozen=True, slots=True)
class Detail:
    """A value that went into a result, and where it came from (``PatientWeight``, ``--weight``, ``default``...)."""

    name: str
    value: str | float | int | None
    unit: str = ""
    source: str = ""


@dataclass(frozen=True, eq=False)
class MaskBlock:
    """The voxels that were measured, for objects and pictures made of them; never part of a text, JSON or CSV.

    Parameters
    ----------
    array : array of bool, ``[k, j, i]``
        A block of the volume, on its device.
    start : tuple of int
        Where the block begins in the volume, (k, j, i).
    grid : Grid
        Of the whole volume.
    sources : tuple of SourceInstance
        Of the whole volume.
    metadata : mapping
        Of the volume.
    acquired_slices : tuple of float
        Of the volume.
    """

    array: Any
    start: tuple[int, int, int]
    grid: Any
    sources: tuple[SourceInstance, ...]
    metadata: Mapping[str, Any]
    acquired_slices: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One finished measurement.

    Parameters
    ----------
    kind : str
        ``distance``, ``angle``, ``area``, ``bidirectional``, ``volume``, ``roi``, ``hu``, ``suv`` ...
    quantities : tuple of Quantity
        The first one is the one that the measurement is named after.
    graphics : tuple of Graphic
        What was drawn; empty for a mask.
    sources : tuple of SourceInstance
        Images or frames measured on; the first one is the one that pixel coordinates belong to.
    calibration : Calibration or None
        Of lengths; None where none is involved.
    label : str
        The user's words for it (``--annotation``).
    tracking_id, tracking_uid : str
        Identity of the measured finding through time; empty where not given.
    frame_of_reference_uid : str
        Of graphics in patient space.
    details : tuple of Detail
        Every value used that is not a pixel, with its origin.
    notes : tuple of str
        What a reader of the numbers must know.
    method : str
        How it was computed where there is a choice, such as ``mesh``.
    extra : mapping or None
        Plain data beside the numbers that goes into JSON as it is, such as a histogram's edges and counts.
    mask : MaskBlock or None
        The voxels, where a region of them was measured.
    """

    kind: str
    quantities: tuple[Quantity, ...]
    graphics: tuple[Graphic, ...] = ()
    sources: tuple[SourceInstance, ...] = ()
    calibration: Calibration | None = None
    label: str = ""
    tracking_id: str = ""
    tracking_uid: str = ""
    frame_of_reference_uid: str = ""
    details: tuple[Detail, ...] = ()
    notes: tuple[str, ...] = ()
    method: str = ""
    extra: Mapping[str, Any] | None = None
    mask: MaskBlock | None = field(default=None, repr=False, compare=False)

    def __getitem__(self, name: str) -> float:
        """Value of the quantity `name`; KeyError where there is none."""
        return self.quantity(name).value

    def __contains__(self, name: object) -> bool:
        """Return whether there is a quantity of that name."""
        return any(quantity.name == name for quantity in self.quantities)

    def __iter__(self) -> Iterator[Quantity]:
        """The quantities."""
        return iter(self.quantities)

    def quantity(self, name: str) -> Quantity:
        """Return the quantity `name`.

        Raises
        ------
        KeyError
            There is none of that name.
        """
        for quantity in self.quantities:
            if quantity.name == name:
                return quantity
        raise KeyError(f"{self.kind} has {', '.join(q.name for q in self.quantities)}, but no {name!r}")

    @property
    def value(self) -> float:
        """Value of the first quantity."""
        return self.quantities[0].value

    @property
    def unit(self) -> str:
        """Unit of the first quantity."""
        return self.quantities[0].unit

    def __getattr__(self, name: str) -> float:
        """Return a quantity as an attribute: ``result.mean``."""
        if name.startswith("_") or name == "quantities":  # asked for by copy and pickle, before there are any
            raise AttributeError(name)
        try:
            return self.quantity(name).value
        except KeyError as error:
            raise AttributeError(str(error.args[0])) from None

    def with_names(self, *, label: str | None = None, tracking_id: str = "", tracking_uid: str = "") -> Measurement:
        """Return the same measurement with a label and the identity of what was measured."""
        return replace(
            self,
            label=self.label if label is None else label,
            tracking_id=tracking_id or self.tracking_id,
            tracking_uid=tracking_uid or self.tracking_uid,
        )


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of a batch: a measurement, or why there is none.

    Parameters
    ----------
    file : str
        The file, or the series, as the user would name it.
    frame : int or None
        1-based frame of a multi-frame file.
    measurement : Measurement or None
        None where it failed.
    error : str
        One line; empty where it did not fail.
    """

    file: str
    frame: int | None = None
    measurement: Measurement | None = None
    error: str = ""


@dataclass(frozen=True)
class Options:
    """Options of the writers of measurements.

    Parameters
    ----------
    title : str
        Heading or description of the whole result.
    values : mapping
        Options of one format, by name.
    """

    title: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)
