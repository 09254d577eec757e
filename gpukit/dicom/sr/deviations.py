"""In what a report differs from the standard: PS3.3 A.35, C.17 and C.18. Said, never refused."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from gpukit.dicom.sr.content_item import Code, ContentItem, ContentTree, Deviation

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["check_item", "check_tree"]

_RELATIONSHIPS = {
    *("CONTAINS", "HAS OBS CONTEXT", "HAS ACQ CONTEXT", "HAS CONCEPT MOD", "HAS PROPERTIES", "INFERRED FROM"),
    "SELECTED FROM",
}
_VALUE_TYPES = {
    *("CONTAINER", "TEXT", "NUM", "CODE", "PNAME", "DATE", "TIME", "DATETIME", "UIDREF", "IMAGE", "COMPOSITE"),
    *("WAVEFORM", "SCOORD", "SCOORD3D", "TCOORD", "TABLE"),
}
_TEXTS = {"TEXT": "TextValue", "UIDREF": "UID", "DATE": "Date", "TIME": "Time", "DATETIME": "DateTime"}
_GRAPHICS = {"POINT", "MULTIPOINT", "POLYLINE", "CIRCLE", "ELLIPSE", "POLYGON", "ELLIPSOID"}
_POINTS = {"POINT": 1, "CIRCLE": 2, "ELLIPSE": 4, "ELLIPSOID": 6}
_DS = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_UID = re.compile(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+")
#: Attributes that every SR document has a value for (type 1).
_REQUIRED = (
    *("SOPClassUID", "SOPInstanceUID", "StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "InstanceNumber"),
    *("ContentDate", "ContentTime"),
)
#: Key object documents and procedure logs have no completion and verification.
_WITHOUT_FLAGS = ("1.2.840.10008.5.1.4.1.1.88.59",)


def check_tree(tree: ContentTree) -> list[Deviation]:
    """Deviations of the header and of references between items."""
    deviations = [Deviation("", word, "is missing") for word in _REQUIRED if word not in tree.header]
    if tree.header.get("SOPClassUID", "") not in _WITHOUT_FLAGS:
        allowed = {"CompletionFlag": ("COMPLETE", "PARTIAL"), "VerificationFlag": ("VERIFIED", "UNVERIFIED")}
        for word, terms in allowed.items():
            value = tree.header.get(word)
            if value is None:
                deviations.append(Deviation("", word, "is missing"))
            elif value not in terms:
                deviations.append(Deviation("", word, f"{value[:20]!r} is not one of {', '.join(terms)}"))
    items: dict[tuple[int, ...], ContentItem] = {}
    links: dict[tuple[int, ...], list[tuple[int, ...]]] = {}
    instances: set[str] = set()
    for item in tree.items():
        items[item.path] = item
        if item.target:
            links.setdefault(item.path[:-1], []).append(item.target)
        instances |= {reference.sop_instance_uid for reference in item.references}
    for source, targets in links.items():
        for target in targets:
            where = ".".join(map(str, source))
            aim = ".".join(map(str, target))
            if target not in items:
                deviations.append(
                    Deviation(where, "ReferencedContentItemIdentifier", f"there is no item {aim} to refer to")
                )
            elif _leads_back(source, target, links):
                deviations.append(
                    Deviation(where, "ReferencedContentItemIdentifier", f"the reference to {aim} is a loop")
                )
    listed = {uid for _, uid in tree.evidence}
    unlisted = [uid for uid in instances if uid and uid not in listed]
    if unlisted:
        deviations.append(
            Deviation(
                "", "CurrentRequestedProcedureEvidenceSequence",
                f"{len(unlisted)} of the referenced instances are not listed as evidence",
            )
        )  # fmt: skip
    return deviations


def _leads_back(
    source: tuple[int, ...], target: tuple[int, ...], links: dict[tuple[int, ...], list[tuple[int, ...]]]
) -> bool:
    """Whether following references from `target`, and down from there, comes back to `source`."""
    waiting, visited = [target], set[tuple[int, ...]]()
    while waiting and len(visited) < 10_000:
        here = waiting.pop()
        if source[: len(here)] == here:
            return True
        if here in visited:
            continue
        visited.add(here)
        waiting += [aim for origin, aims in links.items() if origin[: len(here)] == here for aim in aims]
    return False


def check_item(item: ContentItem, claimed: str, *, is_root: bool) -> Iterator[Deviation]:
    """Deviations of one item, as its file has it."""
    where = item.position
    if not is_root and item.relationship not in _RELATIONSHIPS:
        what = f"{item.relationship[:30]!r} is not a relationship" if item.relationship else "is missing"
        yield Deviation(where, "RelationshipType", what)
    if item.value_type == "REFERENCE":
        return
    if claimed not in _VALUE_TYPES:
        what = f"{claimed[:30]!r} is not a value type" if claimed else "is missing"
        yield Deviation(where, "ValueType", what)
    if item.name is None and item.value_type not in ("IMAGE", "COMPOSITE", "WAVEFORM", "CONTAINER"):
        yield Deviation(where, "ConceptNameCodeSequence", "is missing")
    if item.name is None and is_root:
        yield Deviation(where, "ConceptNameCodeSequence", "is missing: the document has no title")
    if item.name is not None:
        yield from _code(where, "ConceptNameCodeSequence", item.name)
    kind = item.value_type
    if kind in _TEXTS and not item.text:
        yield Deviation(where, _TEXTS[kind], "is missing or empty")
    elif kind == "UIDREF" and not _UID.fullmatch(item.text):
        yield Deviation(where, "UID", f"{item.text[:64]!r} is not a UID")
    elif kind == "PNAME" and not item.text:
        yield Deviation(where, "PersonName", "is missing or empty")
    elif kind == "CODE":
        if not item.codes:
            yield Deviation(where, "ConceptCodeSequence", "is missing")
        if len(item.codes) > 1:
            yield Deviation(where, "ConceptCodeSequence", f"has {len(item.codes)} items: one is allowed")
        for code in item.codes:
            yield from _code(where, "ConceptCodeSequence", code)
    elif kind == "NUM":
        yield from _number(where, item)
    elif kind in ("SCOORD", "SCOORD3D"):
        yield from _coordinates(where, item)
    elif kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
        if len(item.references) > 1:
            yield Deviation(where, "ReferencedSOPSequence", f"has {len(item.references)} items: one is allowed")
        for reference in item.references:
            if not _UID.fullmatch(reference.sop_instance_uid):
                yield Deviation(where, "ReferencedSOPInstanceUID", f"{reference.sop_instance_uid[:64]!r} is not a UID")
    for problem in item.problems:
        yield Deviation(where, kind or "ValueType", problem)


def _code(where: str, attribute: str, code: Code) -> Iterator[Deviation]:
    for part, keyword in (
        (code.value, "CodeValue"),
        (code.scheme, "CodingSchemeDesignator"),
        (code.meaning, "CodeMeaning"),
    ):
        if not part:
            yield Deviation(where, attribute, f"{keyword} is missing or empty")


def _number(where: str, item: ContentItem) -> Iterator[Deviation]:
    number = item.number
    if number is None:
        return
    if number.text and not _DS.fullmatch(number.text):
        yield Deviation(where, "NumericValue", f"{number.text[:20]!r} is not a decimal string")
    if len(number.text) > 16:
        yield Deviation(where, "NumericValue", f"{number.text[:40]!r} has more than 16 characters")
    if number.text and number.unit is None:
        yield Deviation(where, "MeasurementUnitsCodeSequence", "is missing")
    if number.unit is not None:
        yield from _code(where, "MeasurementUnitsCodeSequence", number.unit)
        if number.unit.scheme == "UCUM" and not _is_ucum(number.unit.value):
            yield Deviation(where, "MeasurementUnitsCodeSequence", f"{number.unit.value[:20]!r} is not a UCUM unit")
        elif number.unit.scheme and number.unit.scheme != "UCUM":
            yield Deviation(
                where, "MeasurementUnitsCodeSequence", f"the unit is from {number.unit.scheme[:16]}, not UCUM"
            )
    if not number.text and number.qualifier is None and number.floating is None and number.unit is not None:
        yield Deviation(where, "NumericValue", "is missing or empty")


def _coordinates(where: str, item: ContentItem) -> Iterator[Deviation]:
    area = item.coordinates
    if area is None:
        return
    if area.type not in _GRAPHICS:
        yield Deviation(where, "GraphicType", f"{area.type[:20]!r} is not a graphic type")
    expected = _POINTS.get(area.type)
    if expected is not None and len(area.points) != expected:
        yield Deviation(where, "GraphicData", f"a {area.type} has {expected} points, this one {len(area.points)}")
    if item.value_type == "SCOORD" and not any(child.value_type in ("IMAGE", "REFERENCE") for child in item.children):
        yield Deviation(where, "ContentSequence", "the coordinates are selected from no image")


#: Atoms of UCUM that reports use; metric ones may have a prefix.
_METRIC = {
    *(
        "m",
        "g",
        "s",
        "L",
        "l",
        "A",
        "K",
        "cd",
        "rad",
        "mol",
        "Hz",
        "N",
        "Pa",
        "J",
        "W",
        "C",
        "V",
        "F",
        "Ohm",
        "S",
        "Wb",
    ),
    *("T", "H", "lm", "lx", "Bq", "Gy", "Sv", "Cel", "eV", "bar", "cal", "sr", "u", "kat", "t", "ar", "B", "bit", "By"),
    *("m[Hg]", "U", "[iU]", "eq", "osm"),
}
_OTHERS = {
    *(
        "1",
        "%",
        "min",
        "h",
        "d",
        "wk",
        "mo",
        "a",
        "deg",
        "'",
        "''",
        "[in_i]",
        "[ft_i]",
        "[lb_av]",
        "[hnsf'U]",
        "[degF]",
    ),
    *("10*", "[arb'U]", "[ppth]", "[ppm]", "[pH]", "/", "[diop]", "[beth'U]"),
}
_PREFIXES = ("da", "Y", "Z", "E", "P", "T", "G", "M", "k", "h", "d", "c", "m", "u", "n", "p", "f", "a", "z", "y", "")
_TERM = re.compile(r"(?P<atom>[^0-9+\-]+?|10\*|1)(?P<exponent>[+-]?\d+)?$")


def _is_ucum(unit: str) -> bool:
    """Whether a unit parses as UCUM, by the atoms that reports use."""
    plain = re.sub(r"\{[^{}]*\}", "", unit)
    if not plain:
        return bool(unit)
    for part in re.split(r"[./]", plain):
        if not part or part.isdigit():
            continue
        atom = re.sub(r"(?<=[^\d*])[+-]?\d+$|(?<=10\*)[+-]?\d+$|(?<=10\^)[+-]?\d+$", "", part).strip("()")
        if atom in _OTHERS or atom in _METRIC:
            continue
        if not any(atom.startswith(prefix) and atom[len(prefix) :] in _METRIC for prefix in _PREFIXES):
            return False
    return True
