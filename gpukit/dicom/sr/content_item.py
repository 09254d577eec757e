"""What a structured report holds, free of its encoding: one content item, and the document around the tree."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from gpukit.dicom.modules.codes import Code

__all__ = [
    "Code",
    "ContentItem",
    "ContentTree",
    "Coordinates",
    "Deviation",
    "Number",
    "Observer",
    "Reference",
    "TemporalCoordinates",
]


class Deviation(NamedTuple):
    """One thing in which a report differs from the standard: path of the item (empty for the header), where, what."""

    path: str
    attribute: str
    what: str


@dataclass(frozen=True, slots=True)
class Number:
    """The value of a NUM item.

    Parameters
    ----------
    text : str
        Digits as the file has them (DS); empty where there is no value.
    floating : float or None
        FloatingPointValue, where the file has it.
    unit : Code or None
        As the file has it, UCUM or not.
    qualifier : Code or None
        Why there is no value, or what is special about it (CID 42).
    """

    text: str
    floating: float | None = None
    unit: Code | None = None
    qualifier: Code | None = None


@dataclass(frozen=True, slots=True)
class Reference:
    """An instance that an IMAGE, COMPOSITE or WAVEFORM item refers to.

    Parameters
    ----------
    sop_class_uid, sop_instance_uid : str
        Of the instance.
    frames, segments : tuple of int
        Empty for all; from 1.
    channels : tuple of int
        Of a waveform: multiplex group and channel in turn.
    presentation_state : (str, str) or None
        Class and instance UID of the state in which the image is to be seen.
    value_map : (str, str) or None
        Of the real world value map.
    """

    sop_class_uid: str
    sop_instance_uid: str
    frames: tuple[int, ...] = ()
    segments: tuple[int, ...] = ()
    channels: tuple[int, ...] = ()
    presentation_state: tuple[str, str] | None = None
    value_map: tuple[str, str] | None = None


@dataclass(frozen=True, slots=True)
class Coordinates:
    """SCOORD or SCOORD3D.

    Parameters
    ----------
    type : str
        GraphicType as the file has it.
    points : tuple of tuples of float
        (column, row), (0, 0) the top left corner of the first pixel, as the standard counts; or LPS mm.
    frame_of_reference_uid : str
        Of SCOORD3D.
    """

    type: str
    points: tuple[tuple[float, ...], ...]
    frame_of_reference_uid: str = ""


@dataclass(frozen=True, slots=True)
class TemporalCoordinates:
    """TCOORD: kind of range, and sample positions, offsets in s or date-times as text."""

    type: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentItem:
    """One content item.

    Parameters
    ----------
    path : tuple of int
        Position in the tree, (1,) for the root, as ReferencedContentItemIdentifier counts.
    relationship : str
        To its parent; empty for the root.
    value_type : str
        CONTAINER, TEXT, NUM, CODE, PNAME, DATE, TIME, DATETIME, UIDREF, IMAGE, COMPOSITE, WAVEFORM, SCOORD, SCOORD3D,
        TCOORD, TABLE; REFERENCE for an item by reference; whatever else the file says.
    name : Code or None
        Concept name.
    text : str
        Of TEXT, UIDREF, DATE, TIME, DATETIME, PNAME.
    codes : tuple of Code
        Of CODE.
    number : Number or None
        Of NUM.
    references : tuple of Reference
        Of IMAGE, COMPOSITE and WAVEFORM.
    coordinates, temporal : Coordinates, TemporalCoordinates or None
        Of SCOORD and SCOORD3D, of TCOORD.
    target : tuple of int
        Path of the item that an item by reference stands for.
    template : (str, str) or None
        Mapping resource and template identifier.
    continuity : str
        Of a container: SEPARATE or CONTINUOUS.
    observed : str
        ObservationDateTime.
    uid : str
        ObservationUID.
    problems : tuple of str
        Why this item can't be shown as what it claims to be.
    children : tuple of ContentItem
    """

    path: tuple[int, ...]
    relationship: str
    value_type: str
    name: Code | None
    text: str = ""
    codes: tuple[Code, ...] = ()
    number: Number | None = None
    references: tuple[Reference, ...] = ()
    coordinates: Coordinates | None = None
    temporal: TemporalCoordinates | None = None
    target: tuple[int, ...] = ()
    template: tuple[str, str] | None = None
    continuity: str = ""
    observed: str = ""
    uid: str = ""
    problems: tuple[str, ...] = ()
    children: tuple[ContentItem, ...] = ()

    @property
    def concept(self) -> tuple[str, str]:
        """(value, scheme) of the concept name; empty words where there is none."""
        return ("", "") if self.name is None else (self.name.value, self.name.scheme)

    @property
    def position(self) -> str:
        """The path as the standard writes it: ``1.2.3``."""
        return ".".join(map(str, self.path))

    def walk(self) -> Iterator[ContentItem]:
        """Yield this item and all below it, parents first."""
        waiting = [self]
        while waiting:
            item = waiting.pop()
            yield item
            waiting.extend(reversed(item.children))


@dataclass(frozen=True, slots=True)
class Observer:
    """Who verified a document, or took part in it."""

    name: str
    organization: str = ""
    date_time: str = ""
    code: Code | None = None
    role: str = "verifier"


@dataclass(frozen=True, kw_only=True)
class ContentTree:
    """A structured report.

    Parameters
    ----------
    file : str
        Where it was read.
    root : ContentItem
    header : mapping of str to str
        Attributes of patient, study, series and document by keyword; absent and empty ones are absent.
    observers : tuple of Observer
        Verifiers, authors, participants, custodian.
    predecessors : tuple of (str, str)
        Class and instance UID of the documents that this one replaces or continues.
    evidence : tuple of (str, str)
        Class and instance UID of what the document lists as its evidence.
    procedures : tuple of Code
        Performed or requested procedures that the header names.
    deviations : tuple of Deviation
        Where the file differs from the standard.
    """

    file: str
    root: ContentItem
    header: Mapping[str, str]
    observers: tuple[Observer, ...] = ()
    predecessors: tuple[tuple[str, str], ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()
    procedures: tuple[Code, ...] = ()
    deviations: tuple[Deviation, ...] = ()

    def items(self) -> Iterator[ContentItem]:
        """Every item, parents first."""
        return self.root.walk()
