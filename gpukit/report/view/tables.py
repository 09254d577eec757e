"""Tables: measurements with only the columns that differ, one row an event, images with what is said of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gpukit.dicom.modules.codes import Code
from gpukit.report.document.model import Field, ImageEntry, ImageList, Measurement, MeasurementTable, RecordTable, Value
from gpukit.report.view.spans import Span, Spans, plain
from gpukit.report.words.safe_text import cell_width

__all__ = ["FOLD_AFTER", "image_block", "measurement_table", "record_tables"]

Cell = list[Span]
#: A table of more rows is folded.
FOLD_AFTER = 50
#: Characters that fit into a line of a page.
_LINE = 92
_MOST_COLUMNS = 9


def make_table(
    caption: Cell, columns: Sequence[tuple[Cell, bool]], rows: Sequence[Sequence[Cell]], *, kind: str = "measurements"
) -> dict[str, Any]:
    """A table; `columns` are titles with whether they hold numbers. The first column heads each row."""
    widths = [column_width([_longest_word(title), *(row[n] for row in rows)]) for n, (title, _) in enumerate(columns)]
    return {
        "kind": "table",
        "role": kind,
        "caption": caption,
        "columns": [
            {"title": title, "num": numeric, "w": width}
            for (title, numeric), width in zip(columns, widths, strict=True)
        ],
        "rows": [list(row) for row in rows],
        "fold": len(rows) > FOLD_AFTER,
    }


def column_width(cells: Sequence[Cell]) -> int:
    """Characters that a column takes: its longest word at least, its longest cell at most."""
    texts = [plain(cell) for cell in cells]
    longest = max((cell_width(word) for text in texts for word in text.replace("\n", " ").split(" ")), default=1)
    return max(2, min(max(map(cell_width, texts)), max(longest, 24)))


def measurement_table(
    block: MeasurementTable, measurements: Mapping[str, Measurement], spans: Spans
) -> tuple[list[tuple[Cell, Cell]], dict[str, Any]]:
    """What all rows share, as (name, value), and the table."""
    rows = [measurements[name] for name in block.measurements]
    names: dict[tuple[str, str], Cell] = {}
    cells: list[dict[tuple[str, str], Cell]] = []
    for row in rows:
        own: dict[tuple[str, str], Cell] = {}
        for field in row.modifiers:
            key = field.concept
            names.setdefault(key, spans.name(field))
            own[key] = [*own[key], {"t": "; "}, *spans.inline(field)] if key in own else spans.inline(field)
        evidence = tuple(Value(kind="region", text=r) for r in row.regions)
        shown = {spans._regions[r].image for r in row.regions}
        evidence += tuple(Value(kind="image", text=i) for i in row.images if i not in shown)
        if evidence:
            names.setdefault(("", "Evidence"), [spans.message("Evidence")])
            own["", "Evidence"] = spans.values(evidence)
        if row.links:
            names.setdefault(("", "Refers to"), [spans.message("Refers to")])
            own["", "Refers to"] = spans.values(tuple(Value(kind="link", text=p) for p in row.links))
        if row.problems:
            names.setdefault(("", "Problem"), [spans.message("Problem")])
            own["", "Problem"] = [{"t": "; ".join(row.problems), "k": "problem"}]
        cells.append(own)
    shared: list[tuple[Cell, Cell]] = []
    columns: list[tuple[str, str]] = []
    for key, name in names.items():
        if len(rows) > 1 and all(own.get(key) == cells[0].get(key) for own in cells) and key in cells[0]:
            shared.append((name, cells[0][key]))
        else:
            columns.append(key)
    title = [spans.message("Measurement")]
    table = make_table(
        [],
        [(title, False), ([spans.message("Value")], True), *((names[key], False) for key in columns)],
        [
            [_measured_name(row, spans), spans.number(_value(row)), *(own.get(key, []) for key in columns)]
            for row, own in zip(rows, cells, strict=True)
        ],
    )
    return shared, table


def _measured_name(row: Measurement, spans: Spans) -> Cell:
    return [spans.code(row.name, row.language)] if row.name is not None else [{**spans.message("Number"), "k": "empty"}]


def _value(row: Measurement) -> Value:
    text = row.text or (repr(row.value) if row.value is not None else "")
    return Value(kind="number", text=text, unit=row.unit, qualifier=row.qualifier, language=row.language)


def record_tables(block: RecordTable, spans: Spans) -> list[dict[str, Any]]:
    """One row an event; columns that would not fit in a line go into further tables, each with the event's number.

    What is the same in every event is in one list of fields before the tables.
    """
    if len(block.records) == 1:
        return [
            {"kind": "fields", "title": _group_title(names, spans), "fields": joined(fields, spans)}
            for names, fields in block.records[0].groups
            if fields
        ]
    groups: dict[tuple[Code, ...], dict[tuple[str, str], tuple[Cell, dict[int, Cell]]]] = {}
    for n, record in enumerate(block.records):
        for names, fields in record.groups:
            columns = groups.setdefault(names, {})
            for field in fields:
                title, values = columns.setdefault(field.concept, (spans.name(field), {}))
                shown = spans.inline(field)
                values[n] = [*values[n], {"t": "; "}, *shown] if n in values else shown
    result: list[dict[str, Any]] = []
    count = len(block.records)
    for names, columns in groups.items():
        title = _group_title(names, spans)
        same: list[dict[str, Any]] = []
        differing: list[tuple[Cell, dict[int, Cell]]] = []
        for name, values in columns.values():
            first = next(iter(values.values()))
            if len(values) == count and all(value == first for value in values.values()):
                same.append({"name": name, "value": first, "fields": []})
            else:
                differing.append((name, values))
        if same:
            heading = [*title, {"t": " – "}] if title else []
            result.append(
                {
                    "kind": "fields",
                    "title": [*heading, spans.message("Same for all {count} events", count=count)],
                    "fields": same,
                }
            )
        result += _chunks(title, differing, count, spans)
    return result


def _chunks(
    title: Cell, columns: Sequence[tuple[Cell, dict[int, Cell]]], count: int, spans: Spans
) -> list[dict[str, Any]]:
    tables: list[dict[str, Any]] = []
    here: list[tuple[Cell, dict[int, Cell]]] = []
    used = 4

    def close() -> None:
        nonlocal used
        if here:
            rows = [
                [[{"t": str(n + 1), "k": "num"}], *(values.get(n, []) for _, values in here)]
                for n in range(count)
                if any(n in values for _, values in here)
            ]
            head: list[tuple[Cell, bool]] = [([spans.message("Event")], True)]
            head += [(name, _is_numeric(values)) for name, values in here]
            tables.append(make_table(list(title), head, rows, kind="events"))
        here.clear()
        used = 4

    for name, values in columns:
        width = column_width([_longest_word(name), *values.values()]) + 2
        if here and (used + width > _LINE or len(here) >= _MOST_COLUMNS):
            close()
        here.append((name, values))
        used += width
    close()
    return tables


def _longest_word(name: Cell) -> Cell:
    """Titles are broken between words: only their longest word needs its width."""
    return [{"t": max(plain(name).split(" "), key=len)}]


def _is_numeric(values: Mapping[int, Cell]) -> bool:
    return all(len(cell) == 1 and cell[0].get("k") == "num" for cell in values.values())


def _group_title(names: Sequence[Code], spans: Spans) -> Cell:
    result: Cell = []
    for name in names:
        if result:
            result.append({"t": " – "})
        result.append(spans.code(name))
    return result


def nested(field: Field, spans: Spans) -> dict[str, Any]:
    """A field with those below it."""
    return {
        "name": spans.name(field),
        "value": spans.values(field.values),
        "fields": [nested(inner, spans) for inner in field.fields],
    }


def joined(fields: Sequence[Field], spans: Spans) -> list[dict[str, Any]]:
    """Fields in which values of one name without modifiers are in one line."""
    result: list[dict[str, Any]] = []
    places: dict[tuple[str, str], int] = {}
    for field in fields:
        if not field.fields and field.concept in places:
            result[places[field.concept]]["value"] += [{"t": "; "}, *spans.values(field.values)]
            continue
        if not field.fields:
            places[field.concept] = len(result)
        result.append(nested(field, spans))
    return result


def image_block(block: ImageList, entries: Mapping[str, tuple[int, ImageEntry]], spans: Spans) -> dict[str, Any]:
    """Images of a section, with what is said about each."""
    names: dict[tuple[str, str], Cell] = {}
    rows: list[tuple[Cell, Cell, dict[tuple[str, str], Cell]]] = []
    for name, fields in block.images:
        _, entry = entries[name]
        own: dict[tuple[str, str], Cell] = {}
        for field in fields:
            names.setdefault(field.concept, spans.name(field))
            key = field.concept
            own[key] = [*own[key], {"t": "; "}, *spans.inline(field)] if key in own else spans.inline(field)
        rows.append((spans.image(name), spans.codes(entry.names), own))
    if not names and not any(concept for _, concept, _ in rows):
        body: Cell = []
        for image, _, _ in rows:
            body += [*([{"t": "; "}] if body else []), *image]
        return {"kind": "text", "name": [], "body": body, "fields": []}
    head: list[tuple[Cell, bool]] = [([spans.message("Image")], False)]
    with_name = any(concept for _, concept, _ in rows)
    if with_name:
        head.append(([spans.message("Meaning")], False))
    head += [(title, False) for title in names.values()]
    return make_table(
        [],
        head,
        [
            [image, *([concept] if with_name else []), *(own.get(key, []) for key in names)]
            for image, concept, own in rows
        ],
        kind="images",
    )
