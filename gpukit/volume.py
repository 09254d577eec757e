"""A volume: voxels on a device, where they lie, what they mean and where they came from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gpukit.device import array_namespace, device_of, move
from gpukit.errors import GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.units import ValueUnit

__all__ = [
    "ANATOMY",
    "GeometryStatus",
    "Label",
    "Segmentation",
    "SourceInstance",
    "TISSUE",
    "ValueScale",
    "Voi",
    "Volume",
    "map_of_planes",
    "one_map",
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
    tracking_id, tracking_uid : str
        Name and UID of the finding through time (PS3.3 C.8.20.4); empty where not known.
    """

    value: int
    name: str
    category: tuple[str, str, str]
    type: tuple[str, str, str]
    color: tuple[int, int, int] | None = None
    tracking_id: str = ""
    tracking_uid: str = ""


@dataclass(frozen=True, eq=False, kw_only=True)
class Segmentation:
    """Labels of voxels on a device, on a grid, with the meaning of each label.

    Labels may overlap, such as a tumour's core within the whole tumour. Then `planes` holds every label whole, and
    `array` shows one label a voxel. `mask` gives the voxels of a label in both cases.

    Parameters
    ----------
    array : array of unsigned integers, ``[k, j, i]``
        0 is background. Of labels that overlap it shows the label with the fewest voxels.
    grid : Grid
        The source volume's grid.
    labels : tuple of Label
        What the values mean; values without a label do not occur.
    algorithm : mapping
        ``name``, ``version`` and ``digest`` (sha256 of the weights) of what made it; of an ensemble those of all
        models, with `` + `` between.
    sources, metadata, notes, geometry
        As in `Volume`, of the segmented volume.
    probabilities : array of uint8 or None, ``[label, k, j, i]``
        Of each label, in the order of `labels`, as 255ths; on the device of `array`.
    planes : array of uint8 or None, ``[p, k, j, i]``
        Only where labels overlap: bit ``n % 8`` of plane ``n // 8`` is set in the voxels of label n, counted in the
        order of `labels`. On the device of `array`.
    acquired : array of unsigned integers or None, ``[a, j, i]``
        Only where the mask was drawn on the acquired slices of a volume with interpolated ones: the labels before
        `array` was interpolated; slice a is that of `Volume.acquired_slices`. On the CPU.
    """

    array: Any
    grid: Grid
    labels: tuple[Label, ...]
    algorithm: Mapping[str, str] = field(default_factory=dict)
    sources: tuple[SourceInstance, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    probabilities: Any = None
    geometry: GeometryStatus = field(default_factory=GeometryStatus)
    planes: Any = None
    acquired: Any = None

    def __post_init__(self) -> None:
        if tuple(int(n) for n in self.array.shape) != self.grid.shape:
            raise GeometryError(f"label map of shape {tuple(self.array.shape)} on a grid of shape {self.grid.shape}")
        if self.probabilities is not None:
            shape = tuple(int(n) for n in self.probabilities.shape)
            if shape != (len(self.labels), *self.grid.shape):
                raise GeometryError(
                    f"probabilities of shape {shape} for {len(self.labels)} labels on {self.grid.shape}"
                )
        if self.planes is not None:
            shape = tuple(int(n) for n in self.planes.shape)
            if shape != ((len(self.labels) + 7) // 8, *self.grid.shape):
                raise GeometryError(f"bit planes of shape {shape} for {len(self.labels)} labels on {self.grid.shape}")
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
        planes = None if self.planes is None else move(self.planes, device)
        return replace(self, array=moved, probabilities=fractions, planes=planes)

    def mask(self, label: Label | int) -> Any:
        """Voxels of a label, whole, whether labels overlap or not.

        Parameters
        ----------
        label : Label or int
            One of `labels`, or its value.

        Returns
        -------
        array of bool, ``[k, j, i]``
            On the device of `array`.

        Raises
        ------
        SelectionError
            There is no such label.
        """
        value = label.value if isinstance(label, Label) else int(label)
        number = next((n for n, one in enumerate(self.labels) if one.value == value), None)
        if number is None:
            listed = ", ".join(f"{one.value} ({one.name})" for one in self.labels) or "none"
            raise SelectionError(f"there is no label {value}", attribute="labels", fix=f"there are {listed}")
        if self.planes is None:
            return self.array == value
        return (self.planes[number // 8, ...] & (1 << number % 8)) != 0

    def keep(self, labels: Sequence[Label]) -> Segmentation:
        """Only some labels, in the order given; voxels of the others become background.

        Raises
        ------
        SelectionError
            One of them is not a label of this segmentation.
        """
        chosen = tuple(labels)
        if chosen == self.labels:
            return self
        xp = array_namespace(self.array)
        fractions = self.probabilities
        numbers = [self.labels.index(label) for label in chosen if label in self.labels]
        if fractions is not None:
            fractions = xp.stack([fractions[n, ...] for n in numbers])
        if self.planes is not None:
            masks = (self.mask(label) for label in chosen)
            array, planes = one_map(masks, [label.value for label in chosen], self.array)
            return replace(self, array=array, labels=chosen, probabilities=fractions, planes=planes)
        array = xp.zeros_like(self.array)
        for label in chosen:
            array = xp.where(self.mask(label), xp.full_like(array, label.value), array)
        return replace(self, array=array, labels=chosen, probabilities=fractions)


def one_map(masks: Iterable[Any], values: Sequence[int], like: Any) -> tuple[Any, Any]:
    """One label map of masks, and their bit planes where masks overlap.

    Parameters
    ----------
    masks : iterable of array of bool, ``[k, j, i]``
        One for each label, on one device; each is asked for once.
    values : sequence of int
        Of the labels.
    like : array
        Of the shape and the type of the map.

    Returns
    -------
    (array, array or None)
        As of `map_of_planes`: the map, and the planes where a voxel belongs to two masks, else None.
    """
    xp = array_namespace(like)
    planes: list[Any] = []
    for n, mask in enumerate(masks):
        if n % 8 == 0:
            planes.append(xp.zeros_like(like, dtype=xp.uint8))
        planes[-1] = xp.where(mask, planes[-1] | (1 << n % 8), planes[-1])
    if not planes:
        return xp.zeros_like(like), None
    packed = xp.stack(planes)
    array, overlap = map_of_planes(packed, values, like)
    return array, packed if overlap else None


def map_of_planes(planes: Any, values: Sequence[int], like: Any) -> tuple[Any, bool]:
    """One label map of bit planes.

    Parameters
    ----------
    planes : array of uint8, ``[p, k, j, i]``
        As in `Segmentation`.
    values : sequence of int
        Of the labels, one a bit.
    like : array
        Of the shape and the type of the map.

    Returns
    -------
    (array, bool)
        The map, in which the label with the fewest voxels covers the others (of equally many the later), and whether
        any voxel belongs to two labels.
    """
    xp = array_namespace(like)
    used, overlap = None, False
    for n in range(planes.shape[0]):
        plane = planes[n, ...]
        # a number with two bits has one left once its lowest bit is removed; 0 becomes 0 & 255
        overlap = overlap or bool(xp.any((plane & (plane - 1)) != 0))
        overlap = overlap or (used is not None and bool(xp.any((used != 0) & (plane != 0))))
        used = plane if used is None else used | plane

    def mask(n: int) -> Any:
        return (planes[n // 8, ...] & (1 << n % 8)) != 0

    sizes = [int(xp.count_nonzero(mask(n))) for n in range(len(values))]
    result = xp.zeros_like(like)
    for n in sorted(range(len(values)), key=lambda n: -sizes[n]):
        if sizes[n]:
            result = xp.where(mask(n), xp.full_like(result, values[n]), result)
    return result, overlap
