"""A segmentation: labels of voxels on a device, on a grid, with the meaning of each label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gpukit.device import array_namespace, device_of, move
from gpukit.errors import GeometryError, SelectionError
from gpukit.geometry import Grid
from gpukit.volume import GeometryStatus, SourceInstance

__all__ = ["ANATOMY", "TISSUE", "Label", "Segmentation", "map_of_planes", "one_map"]


#: Category (PS3.16 CID 7150) and type of a label of which nothing but a name is known: value, scheme, meaning.
ANATOMY = ("91723000", "SCT", "Anatomical Structure")
TISSUE = ("85756007", "SCT", "Tissue")


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
