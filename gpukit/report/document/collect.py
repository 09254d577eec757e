"""Values, measurements, images and regions of a tree, each with what stands around it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from gpukit.dicom.sr.content_item import Code, ContentItem, ContentTree, Reference
from gpukit.report.document import concepts
from gpukit.report.document.model import Field, Finding, ImageEntry, Measurement, Region, Value

__all__ = ["Collector", "Surroundings", "has_section_below", "is_context", "language_of"]

_CONTEXT = ("HAS CONCEPT MOD", "HAS OBS CONTEXT", "HAS ACQ CONTEXT")
_TEXT_KINDS = {
    "TEXT": "text",
    "PNAME": "person",
    "DATE": "date",
    "TIME": "time",
    "DATETIME": "datetime",
    "UIDREF": "uid",
}
_EVIDENCE = ("IMAGE", "COMPOSITE", "WAVEFORM", "SCOORD", "SCOORD3D")


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What holds at a place of the tree, from the nearest item above that says it."""

    language: str = ""
    finding: Code | None = None
    sites: tuple[Code, ...] = ()
    laterality: Code | None = None
    tracking_id: str = ""
    tracking_uid: str = ""
    section: str = ""
    container: tuple[Code, ...] = ()
    group: str = ""


def is_context(item: ContentItem) -> bool:
    """Whether an item says something about what it stands in."""
    return item.relationship in _CONTEXT and item.value_type != "CONTAINER"


def has_section_below(item: ContentItem) -> bool:
    """Whether an item other than a container has more below it than modifiers: it becomes a section."""
    if item.value_type not in ("CODE", "TEXT", "NUM", "DATE", "DATETIME", "TIME", "PNAME", "UIDREF"):
        return any(child.value_type == "CONTAINER" for child in item.children)
    for child in item.children:
        if child.value_type == "CONTAINER" or has_section_below(child):
            return True
        if item.value_type != "NUM" and child.value_type == "NUM" and child.relationship != "HAS ACQ CONTEXT":
            return True
    return False


def language_of(item: ContentItem) -> str:
    """Language that an item says of itself and all below it."""
    for child in item.children:
        if child.concept in concepts.LANGUAGES and child.codes:
            language = child.codes[0].value.strip()
            for inner in child.children:
                if inner.concept == ("121046", "DCM") and inner.codes:
                    language += f"-{inner.codes[0].value.strip()}"
            return {"eng": "en", "spa": "es", "fra": "fr", "fre": "fr", "deu": "de", "ger": "de"}.get(
                language.partition("-")[0], language.partition("-")[0]
            ) + "".join(f"-{part}" for part in language.split("-")[1:2])
    return ""


class Collector:
    """Turns items into fields, and gathers what a document lists."""

    def __init__(self, tree: ContentTree, prefix: str = "") -> None:
        self.prefix = prefix
        self._names: dict[str, list[Code]] = {}
        self._by_reference: dict[tuple[object, ...], ImageEntry] = {}
        self.measurements: list[Measurement] = []
        self.images: list[ImageEntry] = []
        self.regions: list[Region] = []
        self._findings: list[Finding] = []
        numbers = (item.path for item in tree.items() if item.value_type == "NUM")
        self._order = {path: n for n, path in enumerate(numbers)}
        self._groups: dict[str, int] = {}
        self._children_of: dict[str, list[str]] = {}
        self._seen: dict[str, Measurement] = {}
        self._images_of: dict[str, tuple[ImageEntry, ...]] = {}
        self._regions_of: dict[str, Region] = {}

    def at(self, item: ContentItem) -> str:
        """Position of an item in the document."""
        return self.prefix + item.position

    def surroundings(self, item: ContentItem, around: Surroundings) -> Surroundings:
        """What holds inside an item."""
        changes: dict[str, object] = {}
        language = language_of(item)
        if language:
            changes["language"] = language
        sites: list[Code] = []
        for child in item.children:
            concept = child.concept
            if child.value_type == "CODE" and child.codes:
                if concept in concepts.SITES:
                    sites += child.codes
                    for inner in child.children:
                        if inner.concept in concepts.LATERALITIES and inner.codes:
                            changes["laterality"] = inner.codes[0]
                elif concept in concepts.LATERALITIES:
                    changes["laterality"] = child.codes[0]
                elif concept in concepts.FINDINGS and "finding" not in changes and not child.children:
                    changes["finding"] = child.codes[0]
            elif concept in concepts.TRACKING_IDS:
                changes["tracking_id"] = child.text
            elif concept in concepts.TRACKING_UIDS:
                changes["tracking_uid"] = child.text
        if sites:
            changes["sites"] = tuple(sites)
        if item.value_type == "CODE" and item.concept in concepts.FINDINGS and item.codes:
            changes["finding"] = item.codes[0]
        if item.value_type == "CONTAINER" or has_section_below(item):
            changes["section"] = self.at(item)
            if item.name is not None:
                changes["container"] = (*around.container, item.name)
        inside = replace(around, **changes) if changes else around  # type: ignore[arg-type]
        is_group = item.concept in concepts.MEASUREMENT_GROUP
        coded = item.concept in concepts.FINDINGS and item.value_type in ("CODE", "TEXT")
        if (is_group or coded) and self.at(item) not in self._groups:
            if coded and around.group and not item.children:
                return inside  # the group's own finding
            self._groups[self.at(item)] = len(self._findings)
            self._findings.append(
                Finding(
                    id=f"{self.prefix}f{len(self._findings) + 1}",
                    path=self.at(item),
                    name=item.name,
                    code=item.codes[0] if item.codes else inside.finding if is_group else None,
                    text=item.text if item.value_type == "TEXT" else "",
                    sites=inside.sites,
                    laterality=inside.laterality,
                    tracking_id=inside.tracking_id,
                    tracking_uid=inside.tracking_uid,
                    language=inside.language,
                )
            )
            inside = replace(inside, group=self.at(item))
        elif self.at(item) in self._groups:
            inside = replace(inside, group=self.at(item))
        return inside

    def complete_measurements(self) -> tuple[Measurement, ...]:
        """Measurements in the order of the report."""
        return tuple(sorted(self.measurements, key=lambda one: int(one.id[len(self.prefix) + 1 :])))

    def complete_images(self) -> tuple[ImageEntry, ...]:
        """Images with all that the report calls them."""
        return tuple(replace(entry, names=tuple(self._names[entry.id])) for entry in self.images)

    def complete_findings(self) -> tuple[Finding, ...]:
        """Findings with what was measured of them."""
        return tuple(self._completed())

    def _completed(self) -> Iterator[Finding]:
        for finding in self._findings:
            inside = f"{finding.path}."
            own = self._children_of.get(finding.path, [])
            numbers = [self._seen[name] for name in own if name in self._seen]
            certain = next(
                (m for m in numbers if m.name and (m.name.value, m.name.scheme) in concepts.CERTAINTIES), None
            )
            regions = self._below(self._regions_of, inside)
            images = self._below(self._images_of, inside)
            yield replace(
                finding,
                measurements=tuple(m.id for m in numbers),
                certainty=None if certain is None else number_value(certain),
                regions=tuple(region.id for region in regions),
                images=tuple(dict.fromkeys(entry.id for entries in images for entry in entries)),
            )

    @staticmethod
    def _below(table: Mapping[str, Any], inside: str) -> list[Any]:
        return [value for path, value in table.items() if path.startswith(inside)]

    def title(self, item: ContentItem, around: Surroundings) -> Field:
        """Name of a section, and its value where it has one."""
        if item.value_type in ("CONTAINER", ""):
            return Field(name=item.name, path=self.at(item), relationship=item.relationship, values=self._extra(item))
        if item.value_type == "NUM":
            number = self.measurement(item, around)
            return Field(
                name=item.name, values=(number_value(number),), path=self.at(item), relationship=item.relationship
            )
        return Field(
            name=item.name, values=self._values(item, around), path=self.at(item), relationship=item.relationship
        )

    @staticmethod
    def _extra(item: ContentItem) -> tuple[Value, ...]:
        return (Value(kind="datetime", text=item.observed),) if item.observed and len(item.path) > 1 else ()

    def field(self, item: ContentItem, around: Surroundings) -> Field:
        """An item and its modifiers as a field."""
        if item.value_type == "NUM":
            number = self.measurement(item, around)
            evidence = tuple(Value(kind="image", text=name) for name in number.images) + tuple(
                Value(kind="region", text=name) for name in number.regions
            )
            fields = number.modifiers
            if evidence:
                fields = (*fields, Field(label="Evidence", values=evidence))
            if number.links:
                fields = (
                    *fields,
                    Field(label="Refers to", values=tuple(Value(kind="link", text=p) for p in number.links)),
                )
            return Field(
                name=item.name,
                values=(number_value(number),),
                fields=fields,
                path=self.at(item),
                relationship=item.relationship,
            )
        values = self._values(item, around)
        skipped: set[int] = set()
        if item.value_type in ("SCOORD", "SCOORD3D"):
            skipped = {n for n, child in enumerate(item.children) if child.value_type == "IMAGE" and not child.children}
        fields = tuple(
            self.field(child, self.surroundings(child, around))
            for n, child in enumerate(item.children)
            if n not in skipped
        )
        if item.observed:
            fields = (*fields, Field(label="Observed", values=(Value(kind="datetime", text=item.observed),)))
        return Field(
            name=item.name,
            label="" if item.name else _LABELS.get(item.value_type, "Item"),
            values=values,
            fields=fields,
            path=self.at(item),
            relationship=item.relationship,
        )

    def _values(self, item: ContentItem, around: Surroundings) -> tuple[Value, ...]:
        values: tuple[Value, ...] = ()
        kind = item.value_type
        if kind in _TEXT_KINDS:
            values = (
                Value(kind=_TEXT_KINDS[kind] if item.text else "empty", text=item.text, language=around.language),
            )
        elif kind == "CODE":
            values = tuple(Value(kind="code", code=code, language=around.language) for code in item.codes)
            values = values or (Value(kind="empty"),)
        elif kind in ("IMAGE", "COMPOSITE", "WAVEFORM"):
            values = tuple(Value(kind="image", text=entry.id) for entry in self.image(item))
        elif kind in ("SCOORD", "SCOORD3D"):
            region = self.region(item, around)
            values = () if region is None else (Value(kind="region", text=region.id),)
        elif kind == "TCOORD" and item.temporal is not None:
            values = (Value(kind="interval", text=" ".join((item.temporal.type, ", ".join(item.temporal.values)))),)
        elif kind == "REFERENCE":
            values = (Value(kind="link", text=self.prefix + ".".join(map(str, item.target))),)
        elif item.text:
            values = (Value(kind="text", text=item.text, language=around.language),)
        if item.problems:
            values = (*values, Value(kind="problem", text="; ".join(item.problems)))
        return values

    def measurement(self, item: ContentItem, around: Surroundings) -> Measurement:
        """A NUM item; each is made once."""
        entry_before = self._seen.get(self.at(item))
        if entry_before is not None:
            return entry_before
        own = self.surroundings(item, around)
        modifiers: list[Field] = []
        images: list[str] = []
        regions: list[str] = []
        links: list[str] = []
        coded: dict[str, Code] = {}
        for child in item.children:
            if child.value_type == "REFERENCE":
                links.append(self.prefix + ".".join(map(str, child.target)))
                continue
            if child.value_type in ("SCOORD", "SCOORD3D") and not _more_than_image(child):
                region = self.region(child, own)
                if region is not None:
                    regions.append(region.id)
                    images += [region.image] if region.image else []
                    continue
            if child.value_type in ("IMAGE", "COMPOSITE", "WAVEFORM") and child.references and not child.children:
                images += [entry.id for entry in self.image(child)]
                continue
            modifiers.append(self.field(child, self.surroundings(child, own)))
            if child.codes:
                for word, group in (
                    ("derivation", concepts.DERIVATIONS),
                    ("method", concepts.METHODS),
                    ("selection", concepts.SELECTIONS),
                ):
                    if child.concept in group:
                        coded[word] = child.codes[0]
        number = item.number
        measured = Measurement(
            id=f"{self.prefix}m{self._order[item.path] + 1}",
            path=self.at(item),
            name=item.name,
            text=number.text if number else "",
            value=number.floating if number else None,
            unit=number.unit if number else None,
            qualifier=number.qualifier if number else None,
            finding=own.finding,
            sites=own.sites,
            laterality=own.laterality,
            tracking_id=own.tracking_id,
            tracking_uid=own.tracking_uid,
            modifiers=tuple(modifiers),
            images=tuple(dict.fromkeys(images)),
            regions=tuple(regions),
            links=tuple(links),
            section=around.section,
            container=around.container,
            language=own.language,
            problems=item.problems,
            **coded,
        )
        self.measurements.append(measured)
        self._seen[self.at(item)] = measured
        if around.group:
            self._children_of.setdefault(around.group, []).append(self.at(item))
        return measured

    def image(self, item: ContentItem) -> tuple[ImageEntry, ...]:
        """Referenced instances of an item."""
        entry_before = self._images_of.get(self.at(item))
        if entry_before is None:
            entry_before = tuple(self._entry(item, reference) for reference in item.references)
            self._images_of[self.at(item)] = entry_before
        return entry_before

    def _entry(self, item: ContentItem, reference: Reference) -> ImageEntry:
        """An instance, listed once for the same frames and segments."""
        key = (reference, item.value_type)
        entry = self._by_reference.get(key)
        if entry is not None and item.name is not None and item.name not in self._names.setdefault(entry.id, []):
            self._names[entry.id].append(item.name)
        if entry is None:
            entry = ImageEntry(
                id=f"{self.prefix}i{len(self.images) + 1}",
                path=self.at(item),
                reference=reference,
                value_type=item.value_type,
            )
            self.images.append(entry)
            self._by_reference[key] = entry
            self._names[entry.id] = [item.name] if item.name is not None else []
        return entry

    def region(self, item: ContentItem, around: Surroundings) -> Region | None:
        """Coordinates, with the image that they are selected from."""
        if item.coordinates is None:
            return None
        entry_before = self._regions_of.get(self.at(item))
        if entry_before is None:
            image = ""
            for child in item.children:
                if child.value_type == "IMAGE" and child.references:
                    image = image or self.image(child)[0].id
            entry_before = Region(
                id=f"{self.prefix}r{len(self.regions) + 1}",
                path=self.at(item),
                name=item.name,
                coordinates=item.coordinates,
                image=image,
                finding=around.finding,
                tracking_id=around.tracking_id,
            )
            self.regions.append(entry_before)
            self._regions_of[self.at(item)] = entry_before
        return entry_before


_LABELS = {
    "IMAGE": "Image",
    "COMPOSITE": "Object",
    "WAVEFORM": "Waveform",
    "REFERENCE": "Refers to",
    "SCOORD": "Region",
    "SCOORD3D": "Region",
    "TCOORD": "Time range",
    "NUM": "Number",
    "TEXT": "Text",
    "CODE": "Code",
}


def number_value(measured: Measurement) -> Value:
    """A measurement as a value of a field."""
    return Value(
        kind="number",
        text=measured.text or (repr(measured.value) if measured.value is not None else ""),
        unit=measured.unit,
        qualifier=measured.qualifier,
        measurement=measured.id,
        language=measured.language,
    )


def _more_than_image(item: ContentItem) -> bool:
    return any(child.value_type != "IMAGE" or child.children for child in item.children)
