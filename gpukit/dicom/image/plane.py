"""From a header to its image planes: one for a classic image, one for each frame or mosaic tile otherwise.

A `Plane` is plain facts: where it lies, how its stored values become values, and what it must not be mixed with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from gpukit.dicom.image.value_scale import PHILIPS
from gpukit.dicom.pixels.frames import FrameRef
from gpukit.dicom.reader.headers import Header
from gpukit.errors import GeometryError

__all__ = [
    "PROJECTIONS", "Plane", "frame_count", "has_functional_groups", "is_image", "numbers", "pixel_spacing",
    "spacing_note",
]  # fmt: skip


#: Modalities whose images need no place in the patient: projections, and pictures of any kind.
PROJECTIONS = frozenset(
    {
        *("CR", "DX", "MG", "IO", "PX", "XA", "RF", "DF", "DS", "RG", "DG", "BI"),
        *(
            "US",
            "IVUS",
            "NM",
            "SC",
            "OT",
            "ES",
            "XC",
            "OP",
            "OPT",
            "SM",
            "GM",
            "HC",
            "TG",
            "EPS",
            "ST",
            "AR",
            "KER",
            "SRF",
        ),
    }
)

#: Objects that carry pixels, or refer to them, but are no image to stack: segmentations (label values, many frames at
#: one position) and their like; everything else without pixels is excluded by that alone.
_NO_IMAGES = {
    "1.2.840.10008.5.1.4.1.1.66.4": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.7": "SEG",
    "1.2.840.10008.5.1.4.1.1.66.5": "surface segmentation",
}
_NO_IMAGE_MODALITIES = frozenset(
    {"SEG", "RTSTRUCT", "RTPLAN", "RTRECORD", "SR", "PR", "KO", "REG", "FID", "RWV", "DOC", "PLAN", "M3D", "ECG"}
)

_SIEMENS_MOSAIC = "MOSAIC"
_UIH_GRID = "VFRAME"


@dataclass(frozen=True, slots=True, eq=False)
class Plane:
    """One image plane and all that sorting and scaling needs of it.

    Attributes
    ----------
    header : Header
        Of its file.
    index : int
        0-based frame in the file.
    rows, columns : int
        Size in pixels (of the tile, for a mosaic).
    position : (x, y, z) or None
        Centre of the first pixel, LPS mm.
    orientation : six cosines or None
        Row direction, then column direction.
    spacing : (between rows, between columns) or None
        PixelSpacing, mm.
    slope, intercept : float
        Value = slope * stored + intercept.
    region : tuple or None
        Tile of a mosaic, as in `gpukit.dicom.pixels.frames.FrameRef`.
    kind : tuple of str
        Planes of different kinds are never one volume (magnitude and phase, two stacks, in- and opposed-phase maps).
    facts : mapping
        Attributes of this frame by DICOM keyword; they come before the file's own.
    scale_source : str
        Keyword of the attribute that slope and intercept are of, see `gpukit.dicom.image.value_scale`.
    notes : tuple of str
        What a user of its values or its place must know.
    """

    header: Header
    index: int
    rows: int
    columns: int
    position: tuple[float, float, float] | None
    orientation: tuple[float, ...] | None
    spacing: tuple[float, float] | None
    slope: float = 1.0
    intercept: float = 0.0
    region: tuple[int, int, int, int] | None = None
    kind: tuple[str, ...] = ()
    facts: Mapping[str, Any] = field(default_factory=lambda: MappingProxyType({}))
    scale_source: str = ""
    notes: tuple[str, ...] = ()

    def get(self, keyword: str, default: Any = None) -> Any:
        """Attribute of the frame, else of the file."""
        value = self.facts.get(keyword)
        return self.header.get(keyword, default) if value is None else value

    @property
    def file(self) -> str:
        """For messages."""
        return str(self.header.location)

    @property
    def has_geometry(self) -> bool:
        """Whether it has a position, an orientation and a pixel spacing."""
        return self.position is not None and self.orientation is not None and self.spacing is not None

    @property
    def frames(self) -> int:
        """How many frames its file says it has."""
        return frame_count(self.header)

    @property
    def name(self) -> str:
        """File and, within a multi-frame file, the 1-based frame, for messages."""
        return f"{self.file} frame {self.index + 1}" if self.frames > 1 else self.file

    def as_displayed(self) -> Plane:
        """The same with the values that RescaleSlope and RescaleIntercept give, without Philips' own scale."""
        if self.scale_source != PHILIPS:
            return self
        slope, intercept = self.get("RescaleSlope"), self.get("RescaleIntercept")
        factor = 1.0 if slope is None else float(slope)
        offset = 0.0 if intercept is None else float(intercept)
        return replace(self, slope=factor, intercept=offset, scale_source="" if slope is None else "RescaleSlope")

    def reference(self) -> FrameRef:
        """What to decode for it."""
        return FrameRef(self.header, self.index, self.slope, self.intercept, self.region)


def is_image(header: Header) -> str:
    """Empty for an image that could be a slice of a volume, else what the object is instead."""
    modality = str(header.get("Modality", ""))
    if (what := _NO_IMAGES.get(str(header.get("SOPClassUID", "")))) is not None:
        return what
    if modality in _NO_IMAGE_MODALITIES:
        return modality
    if header.pixels is None and not (header.get("Rows") and header.get("Columns")):
        return f"{modality} objects without pixels".lstrip()
    return ""


def frame_count(header: Header) -> int:
    """NumberOfFrames, at least one."""
    return max(1, int(header.get("NumberOfFrames", 1)))


def numbers(value: Any, count: int) -> tuple[float, ...] | None:
    """`count` finite floats from an attribute's value, or None."""
    if value is None or isinstance(value, str):
        return None
    parts = value if type(value) is tuple else tuple(value) if hasattr(value, "__iter__") else (value,)
    if len(parts) != count:
        return None
    try:
        converted = tuple(map(float, parts))
    except (TypeError, ValueError):
        return None
    return converted if all(map(math.isfinite, converted)) else None


def pixel_spacing(value: Any, file: str) -> tuple[float, float] | None:
    """PixelSpacing as (between rows, between columns); None where it is absent, or 0, which some write for unknown.

    Raises
    ------
    GeometryError
        It is negative.
    """
    pair = numbers(value, 2)
    if pair is None or min(pair) == 0:
        return None
    if min(pair) < 0:
        raise GeometryError(
            f"pixel spacing {pair[0]:g} x {pair[1]:g} mm is not positive", file=file, attribute="PixelSpacing"
        )
    return pair[0], pair[1]


def spacing_note(value: Any) -> tuple[str, ...]:
    """What a user must know of a PixelSpacing that `pixel_spacing` does not take."""
    pair = numbers(value, 2)
    return ("PixelSpacing is 0: the pixel size is taken as unknown",) if pair is not None and min(pair) == 0 else ()


#: Storage classes that have, or may have, functional groups, also where they hold one frame (PS3.3 A.1.4).
_WITH_GROUPS = frozenset({
    "1.2.840.10008.5.1.4.1.1.2.1",
    "1.2.840.10008.5.1.4.1.1.2.2",
    "1.2.840.10008.5.1.4.1.1.4.1",
    "1.2.840.10008.5.1.4.1.1.4.3",
    "1.2.840.10008.5.1.4.1.1.4.4",
    "1.2.840.10008.5.1.4.1.1.128.1",
    "1.2.840.10008.5.1.4.1.1.130",
    "1.2.840.10008.5.1.4.1.1.30",
    "1.2.840.10008.5.1.4.1.1.13.1.1",
    "1.2.840.10008.5.1.4.1.1.13.1.2",
    "1.2.840.10008.5.1.4.1.1.13.1.3",
    "1.2.840.10008.5.1.4.1.1.6.2",
    "1.2.840.10008.5.1.4.1.1.481.2",  # RT dose: no groups, but the offsets of its frames are read the same way
    "1.2.840.10008.5.1.4.1.1.6.3",
    "1.2.840.10008.5.1.4.1.1.7.3",
    "1.2.840.10008.5.1.4.1.1.7.4",
    "1.2.840.10008.5.1.4.1.1.12.1.1",
    "1.2.840.10008.5.1.4.1.1.12.2.1",
    "1.2.840.10008.5.1.4.1.1.13.1.4",
    "1.2.840.10008.5.1.4.1.1.13.1.5",
    "1.2.840.10008.5.1.4.1.1.14.1",
    "1.2.840.10008.5.1.4.1.1.14.2",
    "1.2.840.10008.5.1.4.1.1.77.1.5.4",
})  # fmt: skip


def has_functional_groups(header: Header) -> bool:
    """Whether a file is of a storage class that describes its frames, be it one or many, by functional groups."""
    return str(header.get("SOPClassUID", "")) in _WITH_GROUPS


#: Values of ImageType, third and later, that tell images of one series apart which are different quantities.
_COMPONENTS = {
    "M": "M", "MAGNITUDE": "M", "P": "P", "PHASE": "P", "PHASE MAP": "P", "PHASE MAG": "P", "R": "R", "REAL": "R",
    "I": "I", "IMAGINARY": "I", "B0": "B0", "FIELD_MAP": "B0", "WATER": "WATER", "W": "WATER", "FAT": "FAT", "F": "FAT",
    "IN_PHASE": "IN_PHASE", "IP": "IN_PHASE", "OUT_PHASE": "OPPOSED", "OPP_PHASE": "OPPOSED", "OP": "OPPOSED",
    "LOCALIZER": "LOCALIZER", "ADC": "ADC", "FA": "FA", "TRACEW": "TRACEW", "MIP": "MIP",
}  # fmt: skip


def component(image_type: Sequence[str], complex_component: Any = None) -> tuple[str, ...]:
    """What quantity an image shows, as far as ImageType and ComplexImageComponent tell; sorted, each once."""
    found = {_COMPONENTS[part] for part in image_type if part in _COMPONENTS}
    # ComplexImageComponent MIXED is a statement on the file, not on a frame, and a field map is real anyway.
    part = _COMPONENTS.get(str(complex_component).upper()) if complex_component else None
    if part is not None and not (part == "R" and "B0" in found):
        found.add(part)
    return tuple(sorted(found))
