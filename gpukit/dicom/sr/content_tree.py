"""The one reader of structured reports: every SR storage class, every value type, one tree (PS3.3 C.17.3).

Nothing in a tree is refused that can be shown: an item that is damaged keeps its place, with its problem, and each
difference from the standard is listed in `ContentTree.deviations`. Only a file that is not a report, or asks for more
than a report can be, is an error.
"""

from __future__ import annotations

import re
import struct
from os import PathLike, fspath
from typing import Any

from gpukit.dicom.reader.discovery import Location
from gpukit.dicom.sr.character_sets import ASCII, declared, decode
from gpukit.dicom.sr.content_item import (
    Code,
    ContentItem,
    ContentTree,
    Coordinates,
    Deviation,
    Number,
    Reference,
    TemporalCoordinates,
)
from gpukit.dicom.sr.deviations import check_item, check_tree
from gpukit.dicom.sr.document_header import evidence_of, header_of, observers_of, predecessors_of, procedures_of
from gpukit.dicom.sr.elements import Elements, RawDocument, read_document
from gpukit.errors import FormatError, TooLargeError

__all__ = ["MAX_DEPTH", "MAX_ITEMS", "is_structured_report", "read_content_tree"]

#: A report of more items is not a report, and one nested deeper is an attack.
MAX_ITEMS, MAX_DEPTH = 200_000, 60
_MAX_COORDINATES = 1 << 20

_STORAGE = "1.2.840.10008.5.1.4.1.1.88."
#: Value types as some makers write them.
_VALUE_TYPES = {"PERSON NAME": "PNAME", "PERSONNAME": "PNAME", "NUMERIC": "NUM", "UID": "UIDREF"}
_TEXTS = {"TEXT": 0x0040A160, "UIDREF": 0x0040A124, "DATE": 0x0040A121, "TIME": 0x0040A122, "DATETIME": 0x0040A120}
_VALUE_TYPES_OF_TAGS = {
    0x0040A160: "TEXT", 0x0040A168: "CODE", 0x0040A300: "NUM", 0x0040A123: "PNAME", 0x0040A121: "DATE",
    0x0040A122: "TIME", 0x0040A120: "DATETIME", 0x0040A124: "UIDREF",
}  # fmt: skip


def is_structured_report(sop_class_uid: str) -> bool:
    """Whether instances of this class have a content tree."""
    return sop_class_uid.startswith(_STORAGE)


def read_content_tree(path: str | PathLike[str] | Location) -> ContentTree:
    """Read the content tree of a structured report.

    Parameters
    ----------
    path : path or Location
        The file.

    Returns
    -------
    ContentTree
        With at most 200,000 items, nested 60 deep at most.

    Raises
    ------
    FormatError
        The file is damaged, is not DICOM, or is not a structured report.
    TooLargeError
        It has more items, is nested deeper, or has larger values than a report can have.
    InputNotFoundError
        It cannot be read.
    """
    location = path if isinstance(path, Location) else Location(fspath(path))
    raw = read_document(location)
    elements = raw.elements
    terms = declared(elements.get(0x00080005, b"")) if isinstance(elements.get(0x00080005), bytes) else ASCII
    reader = _Reader(raw)
    uid = reader.text(elements, 0x00080016, terms)
    if not is_structured_report(uid):
        kept_code = _class_name(uid)
        raise FormatError(
            f"is not a structured report but {kept_code}" if kept_code else "is not a structured report",
            file=raw.file, attribute="SOPClassUID", fix="name a DICOM SR file",
        )  # fmt: skip
    root = reader.item(elements, terms, (1,), is_root=True)
    header = header_of(elements, terms, reader.text)
    tree = ContentTree(
        file=raw.file,
        root=root,
        header=header,
        observers=observers_of(elements, terms, reader),
        predecessors=predecessors_of(elements, terms, reader),
        evidence=evidence_of(elements, terms, reader),
        procedures=procedures_of(elements, terms, reader),
    )
    deviations = (*check_tree(tree), *reader.deviations)
    return ContentTree(
        file=tree.file, root=root, header=header, observers=tree.observers, predecessors=tree.predecessors,
        evidence=tree.evidence, procedures=tree.procedures, deviations=deviations,
    )  # fmt: skip


class _Reader:
    """Turns nested elements into items; keeps the count and the deviations."""

    def __init__(self, raw: RawDocument) -> None:
        self.raw = raw
        self.order = ">" if raw.is_big_endian else "<"
        self.count = 0
        self.deviations: list[Deviation] = []
        self._codes: dict[tuple[Any, ...], Code] = {}

    def text(self, elements: Elements, tag: int, terms: tuple[str, ...], *, is_name: bool = False) -> str:
        """Value of a text attribute, empty where it is absent."""
        value = elements.get(tag)
        if not isinstance(value, bytes) or not value:
            return ""
        words, valid = decode(value, terms, is_name=is_name)
        if not valid:
            self.deviations.append(
                Deviation("", f"{tag >> 16:04X},{tag & 0xFFFF:04X}", "text does not fit the Specific Character Set")
            )
        return words

    def terms(self, elements: Elements, terms: tuple[str, ...]) -> tuple[str, ...]:
        """Character set of an item: its own, else that of what holds it."""
        own = elements.get(0x00080005)
        return declared(own) if isinstance(own, bytes) and own.strip(b"\0 ") else terms

    def items(self, elements: Elements, tag: int) -> list[Elements]:
        """Items of a sequence; none where it is absent or not a sequence."""
        value = elements.get(tag)
        return value if isinstance(value, list) else []

    def code(self, elements: Elements, tag: int, terms: tuple[str, ...]) -> Code | None:
        """First code of a sequence."""
        items = self.items(elements, tag)
        return self.one_code(items[0], terms) if items else None

    def one_code(self, item: Elements, terms: tuple[str, ...]) -> Code:
        """Code of one item."""
        own = self.terms(item, terms)
        key = (
            item.get(0x00080100) or item.get(0x00080119) or item.get(0x00080120) or b"",
            item.get(0x00080102), item.get(0x00080104), own,
        )  # fmt: skip
        try:
            kept_code = self._codes.get(key)
        except TypeError:  # a sequence where text belongs
            return Code("", "", "")
        if kept_code is None:
            tag = 0x00080100 if item.get(0x00080100) else 0x00080119 if item.get(0x00080119) else 0x00080120
            kept_code = Code(
                self.text(item, tag, own).strip(), self.text(item, 0x00080102, own).strip(),
                self.text(item, 0x00080104, own).strip(),
            )  # fmt: skip
            self._codes[key] = kept_code
        return kept_code

    def item(
        self, elements: Elements, terms: tuple[str, ...], path: tuple[int, ...], *, is_root: bool = False
    ) -> ContentItem:
        """One content item and all below it."""
        self.count += 1
        if self.count > MAX_ITEMS:
            raise TooLargeError(
                f"the report has more than {MAX_ITEMS} content items", file=self.raw.file, attribute="ContentSequence",
                fix="check who wrote the file",
            )  # fmt: skip
        if len(path) > MAX_DEPTH:
            raise TooLargeError(
                f"the report is nested deeper than {MAX_DEPTH} levels", file=self.raw.file,
                attribute="ContentSequence", fix="check who wrote the file",
            )  # fmt: skip
        terms = self.terms(elements, terms)
        problems: list[str] = []
        claimed = self.text(elements, 0x0040A040, terms).strip()
        kind = _VALUE_TYPES.get(claimed, claimed)
        values: dict[str, Any] = {}
        target = elements.get(0x0040DB73)
        if isinstance(target, bytes) and target and not claimed:
            kind = "REFERENCE"
            values["target"] = self._numbers(target, "I", 4)
        elif is_root and not claimed:
            kind = "CONTAINER"
        elif not kind:
            kind = next((word for tag, word in _VALUE_TYPES_OF_TAGS.items() if elements.get(tag)), "")
        try:
            values |= self._value(kind, elements, terms, problems)
        except (struct.error, ValueError, TypeError, KeyError, OverflowError) as error:
            problems.append(f"its value makes no sense ({error})")
        template = self.items(elements, 0x0040A504)
        if template:
            values["template"] = (
                self.text(template[0], 0x00080105, terms), self.text(template[0], 0x0040DB00, terms)
            )  # fmt: skip
        children = self.items(elements, 0x0040A730)
        item = ContentItem(
            path=path,
            relationship="" if is_root else self.text(elements, 0x0040A010, terms).strip(),
            value_type=kind,
            name=self.code(elements, 0x0040A043, terms),
            continuity=self.text(elements, 0x0040A050, terms),
            observed=self.text(elements, 0x0040A032, terms),
            uid=self.text(elements, 0x0040A171, terms),
            problems=tuple(problems),
            children=tuple(self.item(child, terms, (*path, n)) for n, child in enumerate(children, 1)),
            **values,
        )
        self.deviations += check_item(item, claimed, is_root=is_root)
        return item

    def _value(self, kind: str, elements: Elements, terms: tuple[str, ...], problems: list[str]) -> dict[str, Any]:
        if kind in _TEXTS:
            return {"text": self.text(elements, _TEXTS[kind], terms)}
        if kind == "PNAME":
            return {"text": self.text(elements, 0x0040A123, terms, is_name=True)}
        if kind == "CODE":
            codes = tuple(self.one_code(one, terms) for one in self.items(elements, 0x0040A168))
            return {"codes": codes}
        if kind == "NUM":
            return {"number": self._number(elements, terms)}
        if kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
            references = tuple(self._reference(one, terms) for one in self.items(elements, 0x00081199))
            if not references:
                problems.append("it refers to nothing")
            return {"references": references}
        if kind in ("SCOORD", "SCOORD3D"):
            return {"coordinates": self._coordinates(kind, elements, terms, problems)}
        if kind == "TCOORD":
            return {"temporal": self._temporal(elements, terms)}
        if kind not in ("CONTAINER", "REFERENCE", "TABLE"):
            problems.append(f"its value type {kind[:20]!r} is not known" if kind else "it has no value type")
        return {}

    def _number(self, elements: Elements, terms: tuple[str, ...]) -> Number:
        measured = self.items(elements, 0x0040A300)
        qualifier = self.code(elements, 0x0040A301, terms)
        if not measured:
            return Number("", None, None, qualifier)
        first = measured[0]
        text = self.text(first, 0x0040A30A, terms).strip().partition("\\")[0].strip()
        floating = first.get(0x0040A161)
        value = None
        if isinstance(floating, bytes) and len(floating) >= 8:
            value = struct.unpack_from(self.order + "d", floating)[0]
        return Number(text, value, self.code(first, 0x004008EA, terms), qualifier)

    def _reference(self, item: Elements, terms: tuple[str, ...]) -> Reference:
        states = self.items(item, 0x00081199)
        maps = self.items(item, 0x0008114B)
        return Reference(
            *self.pair(item, terms),
            frames=self._integers(item, 0x00081160, terms),
            segments=self._numbers(item.get(0x0062000B, b""), "H", 2),
            channels=self._numbers(item.get(0x0040A0B0, b""), "H", 2),
            presentation_state=self.pair(states[0], terms) if states else None,
            value_map=self.pair(maps[0], terms) if maps else None,
        )

    def pair(self, item: Elements, terms: tuple[str, ...]) -> tuple[str, str]:
        """Class and instance UID of a reference item."""
        return self.text(item, 0x00081150, terms), self.text(item, 0x00081155, terms)

    def _integers(self, item: Elements, tag: int, terms: tuple[str, ...]) -> tuple[int, ...]:
        words = self.text(item, tag, terms).split("\\")
        return tuple(int(word) for word in words if word.strip().lstrip("+").isascii() and word.strip().isdigit())

    def _numbers(self, raw: Any, letter: str, size: int) -> tuple[int, ...]:
        if not isinstance(raw, bytes):
            return ()
        return struct.unpack(f"{self.order}{len(raw) // size}{letter}", raw[: len(raw) // size * size])

    def _coordinates(
        self, kind: str, elements: Elements, terms: tuple[str, ...], problems: list[str]
    ) -> Coordinates | None:
        raw = elements.get(0x00700022)
        graphic = self.text(elements, 0x00700023, terms).strip()
        dimensions = 3 if kind == "SCOORD3D" else 2
        if not isinstance(raw, bytes) or len(raw) < 4 * dimensions:
            problems.append("it has no points")
            return None
        if len(raw) > 4 * _MAX_COORDINATES:
            problems.append("it has too many points")
            return None
        values = struct.unpack(f"{self.order}{len(raw) // 4}f", raw[: len(raw) // 4 * 4])
        if len(values) % dimensions:
            problems.append(f"it has {len(values)} coordinates, which are not whole points")
            values = values[: len(values) // dimensions * dimensions]
        if any(value != value or abs(value) > 1e7 for value in values):
            problems.append("its points are not finite")
            return None
        points = tuple(values[n : n + dimensions] for n in range(0, len(values), dimensions))
        return Coordinates(graphic, points, self.text(elements, 0x30060024, terms))

    def _temporal(self, elements: Elements, terms: tuple[str, ...]) -> TemporalCoordinates:
        kind = self.text(elements, 0x0040A130, terms)
        positions = self._numbers(elements.get(0x0040A132, b""), "I", 4)
        words = [str(position) for position in positions]
        for tag in (0x0040A138, 0x0040A13A):
            text = self.text(elements, tag, terms)
            words += text.split("\\") if text else []
        return TemporalCoordinates(kind, tuple(words))


def _class_name(uid: str) -> str:
    if not re.fullmatch(r"[0-9.]{1,64}", uid):
        return ""
    from pydicom.uid import UID

    name = UID(uid).name
    return "" if name == uid else name
