"""Summary of findings, from codes and numbers alone: it repeats what the report says, with links, and adds nothing."""

from __future__ import annotations

from collections.abc import Iterator

from gpukit.report.document import concepts
from gpukit.report.document.identify import DOSE
from gpukit.report.document.model import Document, Field, FieldList, Finding, Measurement, Section, Value
from gpukit.report.view.spans import Span, Spans, anchor

__all__ = ["summary_of"]

_MOST_LINES, _MOST_NUMBERS = 20, 4


def summary_of(document: Document, spans: Spans) -> list[list[Span]]:
    """Lines of the summary."""
    lines: list[list[Span]] = []
    numbers = {m.id: m for m in document.measurements}
    if document.template in DOSE:
        lines += _totals(document, spans)
    lines += _summaries(document, spans)
    findings = [f for f in document.findings if f.code is not None or f.measurements or f.text]
    for finding in findings:
        lines.append(_finding(finding, numbers, spans))
    if document.template == "2010" and document.images:
        count = len(document.images)
        lines.append([spans.message("{count} key objects are referenced", count=count)])
    if len(lines) > _MOST_LINES:
        more = len(lines) - _MOST_LINES
        lines = [*lines[:_MOST_LINES], [spans.message("and {count} more, see below", count=more)]]
    return lines


def _finding(finding: Finding, numbers: dict[str, Measurement], spans: Spans) -> list[Span]:
    words: list[Span] = []
    if finding.code is not None:
        words.append(spans.code(finding.code, finding.language))
    elif finding.text:
        words += spans.texts(finding.text, finding.language)
    elif finding.tracking_id:
        words.append(spans.text(finding.tracking_id))
    else:
        words.append(spans.code(finding.name) if finding.name else spans.message("Finding"))
    for code in (*finding.sites, *([finding.laterality] if finding.laterality else [])):
        words += [{"t": ", "}, spans.code(code, finding.language)]
    words[0] = {**words[0], "href": anchor(finding.path)} if finding.path in spans.sections else words[0]
    shown = [numbers[name] for name in finding.measurements if name in numbers][:_MOST_NUMBERS]
    for n, number in enumerate(shown):
        words.append({"t": ": " if n == 0 else "; "})
        words += _number(number, spans)
    return words


def _number(number: Measurement, spans: Spans) -> list[Span]:
    name = [spans.code(number.name, number.language), {"t": " "}] if number.name else []
    derived = [{"t": " ("}, spans.code(number.derivation, number.language), {"t": ")"}] if number.derivation else []
    text = number.text or (repr(number.value) if number.value is not None else "")
    value = Value(kind="number", text=text, unit=number.unit, qualifier=number.qualifier, language=number.language)
    return [*name, *spans.number(value), *derived]


def _totals(document: Document, spans: Spans) -> list[list[Span]]:
    """Numbers that stand in the containers of accumulated dose."""
    lines = []
    for number in document.measurements:
        holders = {(code.value, code.scheme) for code in number.container[-1:]}
        if holders & concepts.TOTALS:
            line = _number(number, spans)
            for code in (number.laterality,):
                line += [{"t": ", "}, spans.code(code)] if code else []
            lines.append(line)
    return lines


def _summaries(document: Document, spans: Spans) -> list[list[Span]]:
    """Coded conclusions of the report itself."""
    lines = []
    for field, path in _all_fields(document):
        coded = [value for value in field.values if value.kind == "code"]
        if field.concept in concepts.SUMMARIES and coded:
            name = spans.name(field)
            if path in spans.sections:
                name = [{**name[0], "href": anchor(path)}]
            lines.append([*name, {"t": ": "}, *spans.values(coded)])
    return lines


def _all_fields(document: Document) -> Iterator[tuple[Field, str]]:
    for top in document.sections:
        for section in top.sections():
            yield section.title, section.path
            for block in section.blocks:
                if isinstance(block, FieldList):
                    for field in block.fields:
                        yield field, section.path


def has_sections(section: Section) -> bool:
    """Whether there are sections below."""
    return any(isinstance(block, Section) for block in section.blocks)
