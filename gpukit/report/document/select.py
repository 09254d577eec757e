"""Parts of a document by code or position: what to include, and what to leave out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from gpukit.dicom.modules.codes import Code
from gpukit.errors import SelectionError
from gpukit.report.document.model import (
    Block,
    Document,
    Field,
    FieldList,
    Measurement,
    MeasurementTable,
    Record,
    RecordTable,
    Section,
    TextBlock,
)

__all__ = ["order_sections", "select"]


class _Rules:
    """Codes (``DCM:121071`` or ``121071``) and positions (``1.3``), with how often each fitted."""

    def __init__(self, words: Sequence[str]) -> None:
        self.words = [word.strip() for word in words if word.strip()]
        self.hits: set[str] = set()

    def fit(self, name: Code | None, path: str) -> bool:
        for word in self.words:
            scheme, _, value = word.rpartition(":")
            by_code = name is not None and (
                (value == name.value and scheme in ("", name.scheme))
                or (not scheme and word.casefold() == name.meaning.casefold())
            )
            if by_code or path == word or path.startswith(f"{word}."):
                self.hits.add(word)
                return True
        return False


def select(document: Document, include: Sequence[str] = (), exclude: Sequence[str] = ()) -> Document:
    """A document with only some of its parts.

    Parameters
    ----------
    document : Document
    include, exclude : sequence of str
        Codes (``DCM:121071``, ``121071``, or the meaning) and positions (``1.3``). With `include` only what fits, all
        below it and the headings above it stay; what fits `exclude` goes, with all below it.

    Raises
    ------
    SelectionError
        A word fits nothing.
    """
    included, excluded = _Rules(include), _Rules(exclude)
    if not included.words and not excluded.words:
        return document
    names = {m.id: m for m in document.measurements}

    def fields(source: Sequence[Field], inside: bool) -> tuple[Field, ...]:
        result = []
        for one in source:
            if excluded.fit(one.name, one.path):
                continue
            if inside or not included.words or included.fit(one.name, one.path):
                result.append(replace(one, fields=fields(one.fields, True)))
        return tuple(result)

    def blocks(source: Sequence[Block], inside: bool) -> tuple[Block, ...]:
        result: list[Block] = []
        for block in source:
            shown = _block(block, inside)
            if shown is not None:
                result.append(shown)
        return tuple(result)

    def _block(block: Block, inside: bool) -> Block | None:
        if isinstance(block, Section):
            if excluded.fit(block.title.name, block.path):
                return None
            within = inside or not included.words or included.fit(block.title.name, block.path)
            inner = blocks(block.blocks, within)
            if not inner and not within:
                return None
            return replace(block, context=fields(block.context, within), blocks=inner)
        if isinstance(block, FieldList):
            remaining = fields(block.fields, inside)
            return replace(block, fields=remaining) if remaining else None
        if isinstance(block, TextBlock):
            (one,) = fields([block.field], inside) or (None,)
            return None if one is None else replace(block, field=one)
        if isinstance(block, MeasurementTable):
            stay = tuple(
                name
                for name in block.measurements
                if not excluded.fit(names[name].name, names[name].path)
                and (inside or not included.words or included.fit(names[name].name, names[name].path))
            )
            return replace(block, measurements=stay) if stay else None
        if isinstance(block, RecordTable):
            if excluded.fit(block.name, ""):
                return None
            within = inside or not included.words or included.fit(block.name, "")
            records = []
            for record in block.records:
                if excluded.fit(None, record.path):
                    continue
                own = within or included.fit(None, record.path)
                groups = tuple((group, fields(inner, own)) for group, inner in record.groups)
                groups = tuple((group, inner) for group, inner in groups if inner)
                if groups:
                    records.append(Record(path=record.path, groups=groups))
            return replace(block, records=tuple(records)) if records else None
        return block if inside or not included.words else None

    sections = tuple(block for block in blocks(document.sections, False) if isinstance(block, Section))
    context = fields(document.context, not included.words)
    for rules, option in ((included, "include"), (excluded, "exclude")):
        missing = [word for word in rules.words if word not in rules.hits]
        if missing:
            raise SelectionError(
                f"nothing in the report fits {missing[0][:60]!r}", attribute=option,
                fix="give a code such as DCM:121071, or a position such as 1.3",
            )  # fmt: skip
    stay = _paths(sections, names)
    return replace(
        document,
        sections=sections,
        context=context,
        measurements=tuple(m for m in document.measurements if m.path in stay),
        findings=tuple(f for f in document.findings if f.path in stay),
    )


def _paths(sections: Sequence[Section], names: Mapping[str, Measurement]) -> set[str]:
    """Positions of everything that is left."""
    paths: set[str] = set()

    def walk(one: Field) -> None:
        paths.add(one.path)
        for inner in one.fields:
            walk(inner)

    def down(blocks: Sequence[Block]) -> None:
        for block in blocks:
            if isinstance(block, Section):
                paths.add(block.path)
                for one in (block.title, *block.context):
                    walk(one)
                down(block.blocks)
            elif isinstance(block, FieldList):
                for one in block.fields:
                    walk(one)
            elif isinstance(block, TextBlock):
                walk(block.field)
            elif isinstance(block, MeasurementTable):
                paths.update(names[name].path for name in block.measurements)
            elif isinstance(block, RecordTable):
                for record in block.records:
                    paths.add(record.path)
                    for _, fields in record.groups:
                        for one in fields:
                            walk(one)

    down(sections)
    return paths


def order_sections(document: Document, first: Sequence[str]) -> Document:
    """The document with the sections that fit the words of `first` before the others, in that order."""
    rules = [_Rules([word]) for word in first]

    def rank(section: Section) -> int:
        return next((n for n, rule in enumerate(rules) if rule.fit(section.title.name, section.path)), len(rules))

    return replace(document, sections=tuple(sorted(document.sections, key=rank)))
