"""A volume: voxels on a device, where they lie, what they mean and where they came from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gpukit.device import device_of, move
from gpukit.errors import GeometryError
from gpukit.geometry import Grid
from gpukit.units import ValueUnit

__all__ = ["GeometryStatus", "SourceInstance", "ValueScale", "Voi", "Volume"]


@dataclass(frozen=True, slots=True)
class Voi:
    """How an image is shown: its values of interest, as its header names them (PS3.3 C.11.2.1.2) or a user does.

    All numbers are in the unit of the volume's values, also where the header means others; see
    `gpukit.dicom.image.voi_lut`.

    Parameters
    ----------
    center, width : float
        Of its first window; of a table, not used.
    function : str
        ``LINEAR``, ``LINEAR_EXACT``, ``SIGMOID``, or ``LUT`` for a table.
    lut : tuple of float
        Of a table: what its values become, 0 to 1; the first of them for `first` and all below.
    first, step : float
        Of a table: the value that its first entry belongs to, and the distance between the values of two entries.
    """

    center: float
    width: float
    function: str = "LINEAR"
    lut: tuple[float, ...] = ()
    first: float = 0.0
    step: float = 1.0

    @property
    def limits(self) -> tuple[float, float]:
        """Values that become 0 and 1 where it is linear; of the others, between which most of the change lies."""
        if self.function == "LUT":
            return self.first, self.first + self.step * (len(self.lut) - 1)
        if self.function == "LINEAR":
            return self.center - 0.5 - (self.width - 1) / 2, self.center - 0.5 + (self.width - 1) / 2
        return self.center - self.width / 2, self.center + self.width / 2


@dataclass(frozen=True, slots=True)
class ValueScale:
    """Which attribute of a DICOM image made its stored values the volume's values.

    Parameters
    ----------
    source : str
        Keyword: ``RescaleSlope``, ``PhilipsScaleSlope`` (the private (2005,100E)), ``ModalityLUTSequence``,
        ``RealWorldValueMappingSequence`` or ``DoseGridScaling``; empty where the values are as stored.
    slope, intercept : float
        Value = slope * stored + intercept, of the first image.
    displayed_slope, displayed_intercept : float
        What the header's window refers to, of the first image: RescaleSlope and RescaleIntercept. They differ from
        slope and intercept where a private scale or a mapping made the values.
    uniform : bool
        Whether all images of the series have the same.
    """

    source: str
    slope: float = 1.0
    intercept: float = 0.0
    displayed_slope: float = 1.0
    displayed_intercept: float = 0.0
    uniform: bool = True


@dataclass(frozen=True, slots=True)
class SourceInstance:
    """Identity of one DICOM instance, or of one of its frames, that a volume was made of.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the instance (from the file meta where the data set lacks them).
    path : str
        The file; for an instance inside a zip, the zip's path.
    member : str or None
        Name inside the zip, or None.
    frame : int or None
        1-based frame number within a multi-frame instance (as in ReferencedFrameNumber), None for a single frame.
    position : tuple of float
        ImagePositionPatient, LPS mm: centre of the frame's first pixel.
    index : int
        Index k of the slice of the *acquired* stack that this frame is (before any tilt removal), else -1.
    phase : int
        Index t of a 4D volume, 0 otherwise.
    voi : Voi or None
        How this image wants to be shown; None where its header does not say so.
    """

    sop_class_uid: str
    sop_instance_uid: str
    path: str
    member: str | None = None
    frame: int | None = None
    position: tuple[float, float, float] = (0.0, 0.0, 0.0)
    index: int = -1
    phase: int = 0
    voi: Voi | None = None


@dataclass(frozen=True, slots=True)
class GeometryStatus:
    """Which parts of a grid the image states; the others are stand-ins.

    Parameters
    ----------
    position : bool
        The grid lies where the patient is. False for a projection or a photo, whose grid lies at an origin of its own.
    spacing : bool
        The size of a pixel is stated.
    depth : bool
        The extent along the third axis is stated, so that voxels have a volume and not an area only.
    """

    position: bool = True
    spacing: bool = True
    depth: bool = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Volume:
    """Voxels on a device with their place in the patient; immutable.

    Parameters
    ----------
    array : array
        On any device. Indexed ``[k, j, i]`` (slice, row, column); a 4D series ``[t, k, j, i]``, colour
        ``[k, j, i, c]`` as `axes` says.
    grid : Grid
        Shape (nk, nj, ni) and affine from (i, j, k) to LPS mm.
    geometry : GeometryStatus
        Which parts of the grid the image states.
    unit : str
        Of the values, see `gpukit.units.ValueUnit`.
    axes : str
        One letter an axis of `array`: ``kji``, ``tkji``, ``kjic`` or ``tkjic``.
    padding : tuple of float or None
        Lowest and highest value that stand for "no measurement here" (PixelPaddingValue and its range limit, rescaled);
        None where there is none. Statistics, windows and projections must not see such voxels.
    phases : tuple of str
        For a 4D volume, what each t is, such as ``"EchoTime 4.6"``.
    sources : tuple of SourceInstance
        Every instance or frame used; empty for a volume that was not read from DICOM.
    metadata : mapping
        Facts of the series by DICOM keyword (Modality, SeriesDescription, SeriesInstanceUID, WindowCenter ...), frozen.
    notes : tuple of str
        What was done to the data on the way that a user must know, such as a removed gantry tilt.
    algorithm : mapping
        ``name``, ``version`` and ``digest`` (sha256 of the weights) of the network that made the values; empty for what
        was measured.
    acquired_slices : tuple of float
        Where slices were interpolated (``fill_gaps``): the index k of each acquired slice on `grid`, ascending. A whole
        number where the acquired slice is slice k unchanged; a fraction where it lies between two slices of the grid,
        because the acquired distances vary. Empty where every slice of the grid was acquired.
    phase_times : tuple of float
        Begin of each phase in seconds, the first at 0; empty where the phases are not moments in time (echoes,
        b-values) or nothing says how far apart they are.
    value_scale : ValueScale or None
        How stored values became values; None for a volume that was not read from DICOM.
    """

    array: Any
    grid: Grid
    unit: str = ValueUnit.NONE
    axes: str = "kji"
    padding: tuple[float, float] | None = None
    phases: tuple[str, ...] = ()
    sources: tuple[SourceInstance, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    algorithm: Mapping[str, str] = field(default_factory=dict)
    geometry: GeometryStatus = field(default_factory=GeometryStatus)
    acquired_slices: tuple[float, ...] = ()
    phase_times: tuple[float, ...] = ()
    value_scale: ValueScale | None = None

    def __post_init__(self) -> None:
        if self.axes not in ("kji", "tkji", "kjic", "tkjic") or len(self.axes) != len(self.array.shape):
            raise GeometryError(f"axes {self.axes!r} do not describe an array of shape {tuple(self.array.shape)}")
        spatial = tuple(int(n) for axis, n in zip(self.axes, self.array.shape, strict=True) if axis in "kji")
        if spatial != self.grid.shape:
            raise GeometryError(f"the array's slices, rows, columns {spatial} are not the grid's {self.grid.shape}")
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))
        object.__setattr__(self, "algorithm", MappingProxyType(dict(self.algorithm)))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array."""
        return tuple(int(n) for n in self.array.shape)

    @property
    def device(self) -> str:
        """Full name of the device that holds the voxels."""
        return device_of(self.array)

    def to(self, device: str | None) -> Volume:
        """The same volume on another device (itself if it is there already): the only mover."""
        moved = move(self.array, device)
        return self if moved is self.array else replace(self, array=moved)

    def with_array(self, array: Any, *, grid: Grid | None = None, unit: str | None = None) -> Volume:
        """The same identity with other voxels, and if given another grid or unit.

        `acquired_slices` is kept on the same grid only: on another one its indices mean nothing.
        """
        target = grid or self.grid
        kept = self.acquired_slices if target is self.grid else ()
        return replace(self, array=array, grid=target, unit=self.unit if unit is None else unit, acquired_slices=kept)

    def sources_of_slice(self, k: int) -> tuple[SourceInstance, ...]:
        """The instances or frames that slice k is, one a phase; none where it was interpolated."""
        if self.grid.shape[0] == 1 == len(self.sources):
            return self.sources
        index: int | None = k
        if self.acquired_slices:
            index = self.acquired_slices.index(k) if k in self.acquired_slices else None
        return tuple(source for source in self.sources if source.index == index)

    def __repr__(self) -> str:
        """No patient data: shape, spacing, unit and device only."""
        si, sj, sk = self.grid.spacing
        return (
            f"Volume({self.axes}={'x'.join(map(str, self.shape))}, {si:.4g}x{sj:.4g}x{sk:.4g} mm, {self.grid.codes}, "
            f"{self.unit}, {self.array.dtype}, {self.device})"
        )
