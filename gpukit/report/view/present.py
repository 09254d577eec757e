"""From the document model to its view: one dictionary of plain words that every format writes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gpukit.dicom.sr.content_item import Observer
from gpukit.report.document import concepts
from gpukit.report.document.identify import TEMPLATES
from gpukit.report.document.images import class_words
from gpukit.report.document.model import (
    Document,
    FieldList,
    ImageList,
    MeasurementTable,
    Note,
    RecordTable,
    Section,
    TextBlock,
    Value,
)
from gpukit.report.view.spans import Span, Spans, anchor, plain
from gpukit.report.view.summary import summary_of
from gpukit.report.view.tables import image_block, joined, make_table, measurement_table, nested, record_tables
from gpukit.report.words.catalogue import Catalogue
from gpukit.report.words.dates import shown_date, shown_datetime, shown_time
from gpukit.report.words.names import shown_name
from gpukit.report.words.safe_text import safe

__all__ = ["PARTS", "Look", "present"]

#: Parts of a document, in their usual order.
PARTS = ("patient", "study", "summary", "comparison", "context", "report", "key-images", "images", "document")


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is chosen about the appearance of a document.

    Parameters
    ----------
    parts : tuple of str
        Of `PARTS`, in order.
    title, institution, footer, letterhead, annotation : str
        Words of the user; empty to leave out.
    color : str
        ``#rrggbb`` of headings.
    logo : str
        Data URI of the user's logo; empty for none.
    labels : dict
        Own words for headings, by the English ones.
    raw_html : bool
        Show HTML in a TEXT item as its source.
    columns : int
        Key images side by side.
    """

    parts: tuple[str, ...] = PARTS
    title: str = ""
    institution: str = ""
    footer: str = ""
    letterhead: str = ""
    annotation: str = ""
    color: str = "#1f4e79"
    logo: str = ""
    labels: dict[str, str] = field(default_factory=dict)
    raw_html: bool = False
    columns: int = 2


class _Presenter:
    def __init__(self, document: Document, words: Catalogue, look: Look) -> None:
        self.document, self.look = document, look
        self.spans = Spans(document, words, raw_html=look.raw_html)
        self.measurements = {m.id: m for m in document.measurements}
        self.entries = {entry.id: (n, entry) for n, entry in enumerate(document.images, 1)}
        for section in document.sections:
            self.spans.sections |= {inner.path for inner in section.sections() if inner.title.name is not None}

    def label(self, text: str) -> str:
        return self.look.labels.get(text) or self.spans.words.message(text)

    # -- the head

    def fields(self, rows: Sequence[tuple[str, str | list[Span]]]) -> list[dict[str, Any]]:
        shown = []
        for name, value in rows:
            spans = [self.spans.text(value)] if isinstance(value, str) else value
            if plain(spans):
                shown.append({"name": [{"t": self.label(name)}], "value": spans, "fields": []})
        return shown

    def patient(self) -> list[dict[str, Any]]:
        header = self.document.header
        sex = {"M": "male", "F": "female", "O": "other"}.get(header.get("PatientSex", ""), header.get("PatientSex", ""))
        return self.fields(
            [
                ("Name", shown_name(header.get("PatientName", ""))),
                ("Patient ID", header.get("PatientID", "")),
                ("Date of birth", shown_date(header.get("PatientBirthDate", ""))),
                ("Sex", self.spans.words.message(sex) if sex else ""),
                ("Age", header.get("PatientAge", "").lstrip("0")),
                ("Size", self._measure(header.get("PatientSize", ""), "m")),
                ("Weight", self._measure(header.get("PatientWeight", ""), "kg")),
            ]
        )

    def _measure(self, text: str, unit: str) -> list[Span]:
        from gpukit.dicom.modules.codes import Code

        return self.spans.number(Value(kind="number", text=text, unit=Code(unit, "UCUM", unit))) if text else []

    def study(self) -> list[dict[str, Any]]:
        header = self.document.header
        procedures: list[Span] = []
        for code in self.document.procedures:
            procedures += [*([{"t": "; "}] if procedures else []), self.spans.code(code)]
        return self.fields(
            [
                ("Study", header.get("StudyDescription", "")),
                (
                    "Study date",
                    f"{shown_date(header.get('StudyDate', ''))} {shown_time(header.get('StudyTime', ''))}".strip(),
                ),
                ("Accession number", header.get("AccessionNumber", "")),
                ("Study ID", header.get("StudyID", "")),
                ("Procedure", procedures),
                ("Referring physician", shown_name(header.get("ReferringPhysicianName", ""))),
                ("Performing physician", shown_name(header.get("PerformingPhysicianName", ""))),
                ("Reading physician", shown_name(header.get("NameOfPhysiciansReadingStudy", ""))),
                ("Operator", shown_name(header.get("OperatorsName", ""))),
                ("Institution", header.get("InstitutionName", "")),
                ("Address", header.get("InstitutionAddress", "")),
                ("Department", header.get("InstitutionalDepartmentName", "")),
                (
                    "Report date",
                    f"{shown_date(header.get('ContentDate', ''))} {shown_time(header.get('ContentTime', ''))}".strip(),
                ),
            ]
        )

    def observers(self) -> list[dict[str, Any]]:
        labels = {"verifier": "Verified by", "author": "Author", "participant": "Participant", "custodian": "Custodian"}
        return [
            {"name": [{"t": self.label(labels[one.role])}], "value": self._observer(one), "fields": []}
            for one in self.document.observers
        ]

    def _observer(self, one: Observer) -> list[Span]:
        parts = [shown_name(one.name), one.organization, shown_datetime(one.date_time)]
        spans: list[Span] = []
        for part in parts:
            if part:
                spans += [*([{"t": ", "}] if spans else []), self.spans.text(part)]
        if one.code is not None and one.code.meaning:
            spans += [{"t": " ("}, self.spans.code(one.code), {"t": ")"}]
        return spans

    def _template(self) -> str:
        identifier = self.document.template
        name = TEMPLATES.get(identifier, "")
        return f"{identifier} ({name})" if name else identifier

    def about(self) -> list[dict[str, Any]]:
        """The document itself: where it came from, and what it is."""
        document, header = self.document, self.document.header
        rows = self.fields(
            [
                ("Series", header.get("SeriesDescription", "")),
                ("Completion", header.get("CompletionFlagDescription", "")),
                ("Manufacturer", header.get("Manufacturer", "")),
                ("Model", header.get("ManufacturerModelName", "")),
                ("Serial number", header.get("DeviceSerialNumber", "")),
                ("Software", header.get("SoftwareVersions", "").replace("\\", "; ")),
                ("Template", self._template()),
                ("SOP Instance UID", header.get("SOPInstanceUID", "")),
                ("Study Instance UID", header.get("StudyInstanceUID", "")),
            ]
        )
        for _, uid in document.predecessors:
            rows += self.fields([("Predecessor", uid)])
        return rows

    # -- the body

    def section(self, section: Section, level: int) -> dict[str, Any]:
        title = self.spans.name(section.title)
        values = self.spans.values(section.title.values)
        if title and values:
            title = [*title, {"t": ": "}, *values]
        elif values:
            title = values
        extra = self._group_words(section)
        if title and extra:
            title = [*title, {"t": ": "}, *extra]
        blocks: list[dict[str, Any]] = []
        context = [nested(one, self.spans) for one in section.context]
        for block in section.blocks:
            if isinstance(block, Section):
                blocks.append(self.section(block, level + 1))
            elif isinstance(block, FieldList):
                blocks.append({"kind": "fields", "title": [], "fields": joined(block.fields, self.spans)})
            elif isinstance(block, TextBlock):
                blocks.append(
                    {
                        "kind": "text",
                        "name": self.spans.name(block.field),
                        "body": self.spans.values(block.field.values),
                        "fields": [nested(one, self.spans) for one in block.field.fields],
                    }
                )
            elif isinstance(block, MeasurementTable):
                shared, table = measurement_table(block, self.measurements, self.spans)
                if shared:
                    blocks.append(
                        {
                            "kind": "fields",
                            "title": [
                                self.spans.message("Same for all {count} measurements", count=len(block.measurements))
                            ],
                            "fields": [{"name": name, "value": value, "fields": []} for name, value in shared],
                        }
                    )
                blocks.append(table)
            elif isinstance(block, RecordTable):
                blocks.append(self.records(block, level + 1))
            elif isinstance(block, ImageList):
                blocks.append(image_block(block, self.entries, self.spans))
            elif isinstance(block, Note):
                text = self.spans.words.message(block.message, **block.arguments)
                blocks.append({"kind": "note", "level": block.level, "text": safe(text)})
        return {
            "kind": "section",
            "id": anchor(section.path) if section.title.name is not None or section.title.values else "",
            "level": level,
            "title": title,
            "context": context,
            "blocks": blocks,
        }

    def _group_words(self, section: Section) -> list[Span]:
        """Finding and site of a measurement group, for its heading."""
        if section.title.concept not in concepts.MEASUREMENT_GROUP:
            return []
        fields = [
            *section.context,
            *(f for block in section.blocks if isinstance(block, FieldList) for f in block.fields),
        ]
        words: list[Span] = []
        for group in (concepts.FINDINGS, concepts.SITES, concepts.TRACKING_IDS):
            for one in fields:
                if one.concept in group and (group is not concepts.TRACKING_IDS or not words):
                    words += [*([{"t": ", "}] if words else []), *self.spans.inline(one)]
        return words

    def records(self, block: RecordTable, level: int) -> dict[str, Any]:
        count = len(block.records)
        name = [self.spans.code(block.name)] if block.name else [self.spans.message("Events")]
        title = name if count == 1 else [*name, {"t": f" ({count})"}]
        return {
            "kind": "section", "id": anchor(block.records[0].path), "level": level, "title": title, "context": [],
            "blocks": record_tables(block, self.spans),
        }  # fmt: skip

    def images(self) -> list[dict[str, Any]]:
        """List of all referenced objects."""
        document, message = self.document, self.spans.message
        if not document.images:
            return []
        rows = []
        spans_codes = self.spans.codes
        for number, entry in self.entries.values():
            reference = entry.reference
            more = [
                *(
                    [f"{self.spans.words.message('frame')} {', '.join(map(str, reference.frames))}"]
                    if reference.frames
                    else []
                ),
                *(
                    [f"{self.spans.words.message('segment')} {', '.join(map(str, reference.segments))}"]
                    if reference.segments
                    else []
                ),
                *(
                    [f"{self.spans.words.message('channel')} {', '.join(map(str, reference.channels))}"]
                    if reference.channels
                    else []
                ),
            ]
            state = reference.presentation_state
            rows.append(
                [
                    [{"t": str(number), "k": "num", "id": f"image-{number}"}],
                    [{"t": self.spans.words.message(class_words(reference.sop_class_uid) or "object")}],
                    spans_codes(entry.names),
                    [{"t": safe(reference.sop_instance_uid), "k": "uid"}],
                    [{"t": "; ".join(more)}],
                    [{"t": safe(state[1]), "k": "uid"}] if state else [],
                ]
            )
        columns = [
            ("Number", True),
            ("Type", False),
            ("Meaning", False),
            ("SOP Instance UID", False),
            ("Frames", False),
            ("Presentation state", False),
        ]
        shown_columns = [n for n in range(len(columns)) if n in (0, 1, 3) or any(plain(row[n]) for row in rows)]
        table = make_table(
            [], [([message(columns[n][0])], columns[n][1]) for n in shown_columns], [[row[n] for n in shown_columns] for row in rows],
            kind="images",
        )  # fmt: skip
        return [table]


def present(
    document: Document,
    words: Catalogue,
    look: Look,
    *,
    comparison: Sequence[dict[str, Any]] = (),
    figures: Sequence[dict[str, Any]] = (),
    notes: Sequence[str] = (),
) -> dict[str, Any]:
    """The view of a document.

    Parameters
    ----------
    document : Document
    words : Catalogue
        Of the language.
    look : Look
    comparison, figures : sequence of dict
        Blocks of a comparison with prior reports, and key images.
    notes : sequence of str
        Sentences on what could not be shown.

    Returns
    -------
    dict
        Strings, lists and dictionaries only.
    """
    presenter = _Presenter(document, words, look)
    spans, label, header = presenter.spans, presenter.label, document.header
    title: list[Span] = (
        [spans.text(look.title)] if look.title else [spans.code(document.title)] if document.title else []
    )
    title = title if plain(title) else [spans.message("Structured Report")]
    parts: list[dict[str, Any]] = []

    def add(name: str, heading: str, blocks: list[dict[str, Any]]) -> None:
        if blocks:
            parts.append(
                {
                    "kind": "section", "part": name, "id": f"part-{name}", "level": 2,
                    "title": [{"t": label(heading)}] if heading else [], "context": [], "blocks": blocks,
                }
            )  # fmt: skip

    for part in look.parts:
        if part == "patient":
            rows = presenter.patient()
            add("patient", "Patient", [{"kind": "fields", "title": [], "fields": rows}] if rows else [])
        elif part == "study":
            rows = [*presenter.study(), *presenter.observers()]
            add("study", "Study", [{"kind": "fields", "title": [], "fields": rows}] if rows else [])
        elif part == "summary":
            lines = summary_of(document, spans)
            add("summary", "Summary of findings", [{"kind": "list", "items": lines}] if lines else [])
        elif part == "comparison":
            add("comparison", "Comparison with prior reports", list(comparison))
        elif part == "context":
            context = [nested(one, spans) for one in document.context]
            add("context", "Context", [{"kind": "fields", "title": [], "fields": context}] if context else [])
        elif part == "report":
            for section in document.sections:
                shown = presenter.section(section, 2)
                shown["part"] = "report"
                parts.append(shown)
        elif part == "key-images":
            add(
                "key-images",
                "Key images",
                [{"kind": "figures", "figures": list(figures), "columns": look.columns}] if figures else [],
            )
        elif part == "images":
            add("images", "Referenced images and objects", presenter.images())
        elif part == "document":
            rows = presenter.about()
            add("document", "About this document", [{"kind": "fields", "title": [], "fields": rows}] if rows else [])
    if not any(part.get("part") == "report" for part in parts) and not document.sections and "report" in look.parts:
        add("report", "", [{"kind": "note", "level": "note", "text": words.message("The report has no content.")}])
    if look.annotation:
        block = {"kind": "text", "name": [], "body": [{"t": safe(look.annotation)}], "fields": []}
        add("annotation", "Added to this document, not part of the report", [block])
    person = " · ".join(
        part for part in (shown_name(header.get("PatientName", "")), header.get("PatientID", "")) if part
    )
    banner_words = {
        "PARTIAL": "The report is not complete",
        "UNVERIFIED": "The report is not verified",
        "PRELIMINARY": "The report is preliminary",
    }
    return {
        "lang": words.language,
        "title": title,
        "heading": plain(title),
        "person": safe(person),
        "institution": safe(look.institution),
        "letterhead": safe(look.letterhead),
        "footer": safe(look.footer),
        "logo": look.logo,
        "logo_alt": words.message("Logo"),
        "color": look.color,
        "banners": [{"word": word, "text": words.message(banner_words[word])} for word in document.banners],
        "notes": [safe(note) for note in notes],
        "parts": parts,
        "words": {
            "page": words.message("Page {page} of {pages}", page="{page}", pages="{pages}"),
            "rows": words.message("{count} rows", count="{count}"),
            "contents": words.message("Contents"),
        },
    }
