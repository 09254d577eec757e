"""The parts of a document; every value keeps the words and digits of its file, nothing is translated or rounded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from gpukit.dicom.sr.content_item import Code, Coordinates, Observer, Reference

__all__ = [
    "Block",
    "Document",
    "Field",
    "FieldList",
    "Finding",
    "ImageEntry",
    "ImageList",
    "Measurement",
    "MeasurementTable",
    "Note",
    "Record",
    "RecordTable",
    "Region",
    "Section",
    "TextBlock",
    "Value",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """One value.

    Parameters
    ----------
    kind : str
        text, code, number, date, time, datetime, person, uid, image, region, interval, link, problem, empty.
    text : str
        As in the file; of a link the position it leads to; of an image or region its id.
    code : Code or None
        Of a code.
    unit, qualifier : Code or None
        Of a number.
    measurement : str
        Id of the `Measurement` that a number is.
    language : str
        Of text and code meanings, as the report says (RFC 5646); empty where it doesn't.
    """

    kind: str
    text: str = ""
    code: Code | None = None
    unit: Code | None = None
    qualifier: Code | None = None
    measurement: str = ""
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """A name with its values, and what modifies them.

    Parameters
    ----------
    name : Code or None
        Concept; None where the item has none.
    label : str
        Words in place of a concept, in English, to be translated.
    values : tuple of Value
    fields : tuple of Field
        Modifiers and properties of the value.
    path, relationship : str
        Of the content item; empty for what comes from the header.
    """

    name: Code | None = None
    label: str = ""
    values: tuple[Value, ...] = ()
    fields: tuple[Field, ...] = ()
    path: str = ""
    relationship: str = ""

    @property
    def concept(self) -> tuple[str, str]:
        """(value, scheme) of the name."""
        return ("", self.label) if self.name is None else (self.name.value, self.name.scheme)


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One NUM item.

    Parameters
    ----------
    id, path : str
        ``m12``; position in the tree.
    name : Code or None
        Concept.
    text : str
        The exact digits of the file; empty where there is no value.
    value : float or None
        FloatingPointValue, where the file has one.
    unit, qualifier : Code or None
    derivation, method : Code or None
        Of its modifiers.
    finding, laterality : Code or None
        Its own, else the nearest one above.
    sites : tuple of Code
        Its own, else the nearest ones above.
    tracking_id, tracking_uid : str
        Its own, else the group's.
    selection : Code or None
        Selection status (TID 300).
    modifiers : tuple of Field
        All that modifies it, what is named above included.
    images, regions : tuple of str
        Ids of its evidence.
    links : tuple of str
        Positions of items that it refers to.
    section : str
        Position of the container it stands in.
    container : tuple of Code
        Concepts of the containers above, outermost first.
    language : str
    problems : tuple of str
    """

    id: str
    path: str
    name: Code | None
    text: str
    value: float | None = None
    unit: Code | None = None
    qualifier: Code | None = None
    derivation: Code | None = None
    method: Code | None = None
    finding: Code | None = None
    sites: tuple[Code, ...] = ()
    laterality: Code | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    selection: Code | None = None
    modifiers: tuple[Field, ...] = ()
    images: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    links: tuple[str, ...] = ()
    section: str = ""
    container: tuple[Code, ...] = ()
    language: str = ""
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class ImageEntry:
    """One referenced instance, with the frames or segments that are meant, and what the report calls it."""

    id: str
    path: str
    reference: Reference
    names: tuple[Code, ...] = ()
    value_type: str = "IMAGE"


@dataclass(frozen=True, kw_only=True)
class Region:
    """Coordinates on an image or in the patient, and what they show."""

    id: str
    path: str
    name: Code | None
    coordinates: Coordinates
    image: str = ""
    finding: Code | None = None
    tracking_id: str = ""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """Something that was found, measured or looked for.

    Parameters
    ----------
    id, path : str
    name : Code or None
        Concept under which the report gives it.
    code : Code or None
        What was found, where it is coded.
    text : str
        The report's words, where it is not.
    sites : tuple of Code
    laterality : Code or None
    certainty : Value or None
        A code or number.
    tracking_id, tracking_uid : str
    measurements, images, regions : tuple of str
        Ids.
    language : str
    """

    id: str
    path: str
    name: Code | None = None
    code: Code | None = None
    text: str = ""
    sites: tuple[Code, ...] = ()
    laterality: Code | None = None
    certainty: Value | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    measurements: tuple[str, ...] = ()
    images: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldList:
    """Names with values."""

    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class TextBlock:
    """A text of the report, with its name."""

    field: Field


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasurementTable:
    """Measurements that belong together, by id."""

    measurements: tuple[str, ...]
    name: Code | None = None
    shared: tuple[Field, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """One event: its fields by the container inside the event that they stand in."""

    path: str
    groups: tuple[tuple[tuple[Code, ...], tuple[Field, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordTable:
    """Events of one kind, one record each."""

    name: Code | None
    records: tuple[Record, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ImageList:
    """Referenced instances, by id, each with what is said about it."""

    images: tuple[tuple[str, tuple[Field, ...]], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Note:
    """A sentence of ours about the report: an English message with its arguments, to be translated."""

    message: str
    arguments: Mapping[str, str] = field(default_factory=dict)
    level: str = "note"


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """A container, or an item that has more below it than modifiers.

    Parameters
    ----------
    title : Field
        Its name, and its value where it has one.
    path : str
    concepts : tuple of (str, str)
        Of the containers from the root to this one.
    context : tuple of Field
        What holds for all of it: modifiers, observers, acquisition.
    blocks : tuple of Block
        In the order of the report.
    """

    title: Field
    path: str
    concepts: tuple[tuple[str, str], ...] = ()
    context: tuple[Field, ...] = ()
    blocks: tuple[Block, ...] = ()

    def sections(self) -> Iterator[Section]:
        """Yield this section and all below it."""
        yield self
        for block in self.blocks:
            if isinstance(block, Section):
                yield from block.sections()


Block = FieldList | TextBlock | MeasurementTable | RecordTable | ImageList | Note | Section


@dataclass(frozen=True, kw_only=True)
class Document:
    """One report, or several of one study merged.

    Parameters
    ----------
    files : tuple of str
    title : Code or None
    template : str
        Identifier of the root template (``1500``), as the file says or as its content tells; empty if unknown.
    template_stated : bool
        Whether the file says so itself.
    banners : tuple of str
        PARTIAL, UNVERIFIED, PRELIMINARY.
    header : mapping of str to str
        Attributes of patient, study and document by keyword.
    observers : tuple of Observer
    procedures : tuple of Code
    predecessors : tuple of (str, str)
    evidence : tuple of (str, str)
        Class and instance UID of what the report lists.
    language : str
        RFC 5646; empty where the report doesn't say.
    context : tuple of Field
        What holds for the whole report.
    sections : tuple of Section
    measurements, findings, images, regions : tuple
    deviations : tuple of (str, str, str)
        Position, attribute, what.
    """

    files: tuple[str, ...]
    title: Code | None
    template: str = ""
    template_stated: bool = False
    banners: tuple[str, ...] = ()
    header: Mapping[str, str] = field(default_factory=dict)
    observers: tuple[Observer, ...] = ()
    procedures: tuple[Code, ...] = ()
    predecessors: tuple[tuple[str, str], ...] = ()
    evidence: tuple[tuple[str, str], ...] = ()
    language: str = ""
    context: tuple[Field, ...] = ()
    sections: tuple[Section, ...] = ()
    measurements: tuple[Measurement, ...] = ()
    findings: tuple[Finding, ...] = ()
    images: tuple[ImageEntry, ...] = ()
    regions: tuple[Region, ...] = ()
    deviations: tuple[tuple[str, str, str], ...] = ()
