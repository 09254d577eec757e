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

__all__ = [
    "ANATOMY",
    "Label",
    "Segmentation",
    "SourceInstance",
    "TISSUE",
    "Voi",
    "Volume",
    "has_depth",
    "has_place",
    "has_spacing",
    "is_placed",
]


#: Category (PS3.16 CID 7150) and type of a label of which nothing but a name is known: value, scheme, meaning.
ANATOMY = ("91723000", "SCT", "Anatomical Structure")
TISSUE = ("85756007", "SCT", "Tissue")


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
        """The same identity with other voxels, and if given another grid or unit."""
        return replace(self, array=array, grid=grid or self.grid, unit=self.unit if unit is None else unit)

    def __repr__(self) -> str:
        """No patient data: shape, spacing, unit and device only."""
        si, sj, sk = self.grid.spacing
        return (
            f"Volume({self.axes}={'x'.join(map(str, self.shape))}, {si:.4g}x{sj:.4g}x{sk:.4g} mm, {self.grid.codes}, "
            f"{self.unit}, {self.array.dtype}, {self.device})"
        )


@dataclass(frozen=True, slots=True)
class Label:
    """One label of a segmentation, with its coded meaning.

    Parameters
    ----------
    value : int
        The number in the label map, 1 or greater.
    name : str
        For people.
    category, type : tuple of str
        (code value, coding scheme designator, code meaning) of Segmented Property Category and Type.
    color : tuple of int or None
        sRGB, 0 to 255.
    """

    value: int
    name: str
    category: tuple[str, str, str]
    type: tuple[str, str, str]
    color: tuple[int, int, int] | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """A label map on a device, on a grid, with what each label means.

    Parameters
    ----------
    array : array of unsigned integers, ``[k, j, i]``
        0 is background.
    grid : Grid
        The source volume's grid.
    labels : tuple of Label
        What the values mean; values without a label do not occur.
    algorithm : mapping
        ``name``, ``version`` and ``digest`` (sha256 of the weights) of what made it; of an ensemble those of all
        models, with `` + `` between.
    sources, metadata, notes
        As in `Volume`, of the segmented volume.
    probabilities : array of uint8 or None, ``[label, k, j, i]``
        Of each label, in the order of `labels`, as 255ths; on the device of `array`.
    """

    array: Any
    grid: Grid
    labels: tuple[Label, ...]
    algorithm: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[SourceInstance, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    probabilities: Any = None

    def __post_init__(self) -> None:
        if tuple(int(n) for n in self.array.shape) != self.grid.shape:
            raise GeometryError(f"label map of shape {tuple(self.array.shape)} on a grid of shape {self.grid.shape}")
        if self.probabilities is not None:
            shape = tuple(int(n) for n in self.probabilities.shape)
            if shape != (len(self.labels), *self.grid.shape):
                raise GeometryError(
                    f"probabilities of shape {shape} for {len(self.labels)} labels on {self.grid.shape}"
                )
        object.__setattr__(self, "algorithm", MappingProxyType(dict(self.algorithm)))
        object.__setattr__(self, "metadata", MappingProxyType(dict(self.metadata)))

    @property
    def device(self) -> str:
        """Full name of the device that holds the label map."""
        return device_of(self.array)

    def to(self, device: str | None) -> Segmentation:
        """The same segmentation on another device."""
        moved = move(self.array, device)
        if moved is self.array:
            return self
        fractions = None if self.probabilities is None else move(self.probabilities, device)
        return replace(self, array=moved, probabilities=fractions)


def is_placed(volume: Volume | Segmentation) -> bool:
    """Whether the grid is where the patient is, and not at an origin that was made up."""
    return not any("no patient geometry" in note for note in volume.notes)


def has_spacing(volume: Volume | Segmentation) -> bool:
    """Whether the image says how large its pixels are."""
    return not any("no pixel spacing" in note for note in volume.notes)


#: How the notes begin that tell of a grid which stands in for a place in the patient.
_NO_PLACE = ("no patient geometry", "the frame has no place in the patient")
#: And of a lone slice whose thickness nobody knows.
_NO_DEPTH = ("a single slice without thickness", "no slice thickness")


def has_place(volume: Volume) -> bool:
    """Whether the grid of a volume is its place in the patient, and no stand-in for one (of a projection, a photo)."""
    return not any(note.startswith(_NO_PLACE) for note in volume.notes)


def has_depth(volume: Volume) -> bool:
    """Whether voxels of a volume have a known size in all three directions, so that it has volumes, not areas only."""
    return has_place(volume) and not any(note.startswith(_NO_DEPTH) for note in volume.notes)
