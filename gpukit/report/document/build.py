"""From a content tree to a document: each relationship has its place, every item is somewhere (PS3.3 C.17.3.2.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gpukit.dicom.sr.content_item import Code, ContentItem, ContentTree
from gpukit.report.document import concepts
from gpukit.report.document.collect import Collector, Surroundings, has_section_below, is_context, language_of
from gpukit.report.document.identify import DOSE, template_of
from gpukit.report.document.model import (
    Block,
    Document,
    Field,
    FieldList,
    ImageList,
    MeasurementTable,
    Note,
    Record,
    RecordTable,
    Section,
    TextBlock,
    Value,
)

__all__ = ["build_document"]

#: A text of more characters, or of several lines, is a paragraph of its own.
_SHORT = 60


def build_document(tree: ContentTree, prefix: str = "") -> Document:
    """The document of one report.

    Parameters
    ----------
    tree : ContentTree
    prefix : str
        Put before ids and positions, for documents that are merged.

    Returns
    -------
    Document
        Every content item of the tree is in a section, the context, or a measurement of a table.
    """
    template, is_stated = template_of(tree)
    collector = Collector(tree, prefix)
    builder = _Builder(collector, is_dose=template in DOSE)
    root = tree.root
    around = collector.surroundings(root, Surroundings(language=language_of(root)))
    section = builder.section(root, around, ())
    return Document(
        files=(tree.file,),
        title=root.name,
        template=template,
        template_stated=is_stated,
        banners=_banners(tree),
        header=tree.header,
        observers=tree.observers,
        procedures=tree.procedures,
        predecessors=tree.predecessors,
        evidence=tree.evidence,
        language=around.language,
        context=section.context,
        sections=_sections(section, template),
        measurements=collector.complete_measurements(),
        findings=collector.complete_findings(),
        images=collector.complete_images(),
        regions=tuple(collector.regions),
        deviations=tuple((d.path, d.attribute, d.what) for d in tree.deviations),
    )


def _banners(tree: ContentTree) -> tuple[str, ...]:
    header = tree.header
    banners = [
        word
        for keyword, word in (
            ("CompletionFlag", "PARTIAL"),
            ("VerificationFlag", "UNVERIFIED"),
            ("PreliminaryFlag", "PRELIMINARY"),
        )
        if header.get(keyword) == word
    ]
    return tuple(banners)


def _sections(root: Section, template: str) -> tuple[Section, ...]:
    """Blocks of the root as sections; what stands in the root itself has one without a title."""
    sections: list[Section] = []
    loose: list[Block] = []

    def close() -> None:
        if loose:
            sections.append(replace(root, title=Field(), context=(), blocks=tuple(loose)))
            loose.clear()

    for block in root.blocks:
        if isinstance(block, Section):
            close()
            sections.append(block)
        else:
            loose.append(block)
    close()
    if template in DOSE:
        sections.sort(key=lambda s: s.title.concept not in concepts.TOTALS and bool(_records(s)))
    return tuple(sections)


def _records(section: Section) -> bool:
    return any(isinstance(block, RecordTable) for block in section.blocks)


class _Builder:
    def __init__(self, collector: Collector, *, is_dose: bool) -> None:
        self.collector = collector
        self.is_dose = is_dose

    def section(self, item: ContentItem, around: Surroundings, above: tuple[tuple[str, str], ...]) -> Section:
        """A container, or another item with more than modifiers below it."""
        collector = self.collector
        context: list[Field] = []
        blocks: list[Block] = []
        fields: list[Field] = []
        numbers: list[str] = []
        images: list[tuple[str, tuple[Field, ...]]] = []
        below = (*above, item.concept)

        def close() -> None:
            if fields:
                blocks.append(FieldList(fields=tuple(fields)))
                fields.clear()
            if numbers:
                blocks.append(self._table(numbers))
                numbers.clear()
            if images:
                blocks.append(ImageList(images=tuple(images)))
                images.clear()

        children = item.children
        position = 0
        while position < len(children):
            child = children[position]
            position += 1
            own = collector.surroundings(child, around)
            if is_context(child) and not has_section_below(child):
                context.append(collector.field(child, own))
            elif self._is_record(child, children):
                same = [child]
                while (
                    position < len(children)
                    and children[position].concept == child.concept
                    and children[position].value_type == "CONTAINER"
                ):
                    same.append(children[position])
                    position += 1
                close()
                blocks.append(self._records(same, around, below))
            elif child.value_type == "CONTAINER" or has_section_below(child):
                close()
                blocks.append(self.section(child, own, below))
            elif child.value_type == "NUM":
                if fields or images:
                    close()
                numbers.append(collector.measurement(child, own).id)
            elif child.value_type in ("IMAGE", "COMPOSITE", "WAVEFORM") and child.references:
                if fields or numbers:
                    close()
                modifiers = tuple(collector.field(inner, own) for inner in child.children)
                images.extend((entry.id, modifiers) for entry in collector.image(child))
            elif child.value_type == "TEXT" and (len(child.text) > _SHORT or "\n" in child.text or "\r" in child.text):
                close()
                blocks.append(TextBlock(field=collector.field(child, own)))
            else:
                if numbers or images:
                    close()
                fields.append(collector.field(child, own))
        close()
        title = collector.title(item, around)
        if item.problems:
            blocks.insert(
                0,
                Note(
                    message="This item is damaged: {what}.",
                    arguments={"what": "; ".join(item.problems)},
                    level="problem",
                ),
            )
        return Section(
            title=title, path=self.collector.at(item), concepts=below, context=tuple(context), blocks=tuple(blocks)
        )

    def _table(self, numbers: Sequence[str]) -> MeasurementTable:
        return MeasurementTable(measurements=tuple(numbers))

    def _is_record(self, item: ContentItem, siblings: Sequence[ContentItem]) -> bool:
        if item.value_type != "CONTAINER":
            return False
        if item.concept in concepts.RECORDS:
            return True
        return self.is_dose and item.name is not None and sum(s.concept == item.concept for s in siblings) > 2

    def _records(
        self, items: Sequence[ContentItem], around: Surroundings, above: tuple[tuple[str, str], ...]
    ) -> RecordTable:
        records = []
        for item in items:
            groups: list[tuple[tuple[Code, ...], tuple[Field, ...]]] = []
            self._flatten(item, self.collector.surroundings(item, around), (), groups)
            records.append(Record(path=self.collector.at(item), groups=tuple(groups)))
        return RecordTable(name=items[0].name, records=tuple(records))

    def _flatten(
        self,
        item: ContentItem,
        around: Surroundings,
        names: tuple[Code, ...],
        groups: list[tuple[tuple[Code, ...], tuple[Field, ...]]],
    ) -> None:
        """Fields of an event, container by container."""
        fields: list[Field] = []
        inner: list[ContentItem] = []
        for child in item.children:
            if child.value_type == "CONTAINER":
                inner.append(child)
            else:
                fields.append(self.collector.field(child, self.collector.surroundings(child, around)))
        if item.problems:
            fields.append(Field(label="Problem", values=(Value(kind="problem", text="; ".join(item.problems)),)))
        groups.append((names, tuple(fields)))
        for child in inner:
            name = child.name or Code("", "", "")
            self._flatten(child, self.collector.surroundings(child, around), (*names, name), groups)
