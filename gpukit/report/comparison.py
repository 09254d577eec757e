"""Reports of several dates beside each other: values, units and dates of each, and the response by RECIST 1.1."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal, InvalidOperation, localcontext
from typing import Any

from gpukit.dicom.sr.content_item import ContentTree
from gpukit.errors import GpukitError, InputError
from gpukit.report.document.build import build_document
from gpukit.report.document.merge import in_order
from gpukit.report.document.model import Document, Measurement, Value
from gpukit.report.view.spans import Spans
from gpukit.report.view.tables import make_table
from gpukit.report.words.catalogue import Catalogue
from gpukit.report.words.dates import shown_date, shown_time
from gpukit.report.words.numbers import shown_number
from gpukit.report.words.safe_text import safe
from gpukit.report.words.units import shown_unit

__all__ = ["compare_reports"]

Key = tuple[object, ...]
_MOST_TRENDS = 12
_WIDTH, _HEIGHT, _EDGE = 120, 36, 5


def compare_reports(
    prior: Sequence[ContentTree], current: Sequence[ContentTree], words: Catalogue
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Blocks of the comparison for documents, and its facts for JSON.

    Parameters
    ----------
    prior, current : sequence of ContentTree
        In any order; they are compared by the time of their content, the last of `current` is the current one.
    words : Catalogue

    Raises
    ------
    InputError
        A prior report is the current one.
    """
    ordered = [*in_order(prior), in_order(current)[-1]]
    uids = [tree.header.get("SOPInstanceUID", "") for tree in ordered]
    if uids[-1] and uids[-1] in uids[:-1]:
        raise InputError("the prior report is the current one", file=ordered[-1].file, attribute="compare")
    documents = [build_document(tree) for tree in ordered]
    dates = [_date(document) for document in documents]
    if len(set(dates)) < len(dates):  # several on one day
        moments = [shown_time(document.header.get("ContentTime", "").partition(".")[0]) for document in documents]
        dates = [f"{date} {moment}".strip() for date, moment in zip(dates, moments, strict=True)]
    spans = Spans(documents[-1], words)
    matched, ambiguous = _matched(documents)
    rows: list[list[list[dict[str, str]]]] = []
    facts: list[dict[str, Any]] = []
    trends: list[dict[str, Any]] = []
    for values in matched:
        row, fact, trend = _compared(values, dates, spans, words)
        rows.append(row)
        facts.append(fact)
        if trend is not None and len(trends) < _MOST_TRENDS:
            trends.append(trend)
    blocks: list[dict[str, Any]] = [_dates_block(documents, dates, words)]
    if rows:
        columns: list[tuple[list[dict[str, str]], bool]] = [
            ([spans.message("Finding")], False),
            ([spans.message("Measurement")], False),
        ]
        columns += [([{"t": date}], True) for date in dates]
        columns += [([spans.message("Change")], True), ([{"t": "%"}], True), ([spans.message("Status")], False)]
        blocks.append(make_table([], columns, rows, kind="comparison"))
    else:
        blocks.append(
            {"kind": "note", "level": "note", "text": words.message("No measurement occurs in both reports.")}
        )
    if ambiguous:
        text = words.message(
            "{count} measurements have the same name several times and are not compared.", count=ambiguous
        )
        blocks.append({"kind": "note", "level": "note", "text": text})
    response, lines = _response(documents, words)
    blocks += [{"kind": "note", "level": "note", "text": safe(line)} for line in lines]
    blocks += trends
    return blocks, {
        "reports": [
            {"file": tree.file, "sop_instance_uid": uid, "date": tree.header.get("ContentDate", "")}
            for tree, uid in zip(ordered, uids, strict=True)
        ],
        "measurements": facts,
        "not_compared": ambiguous,
        "response": response,
    }


def _date(document: Document) -> str:
    header = document.header
    date = shown_date(header.get("ContentDate") or header.get("StudyDate", ""))
    return date or shown_time(header.get("ContentTime", "")) or "?"


def _dates_block(documents: Sequence[Document], dates: Sequence[str], words: Catalogue) -> dict[str, Any]:
    fields = []
    for n, (document, date) in enumerate(zip(documents, dates, strict=True)):
        name = words.message("Current report") if n == len(documents) - 1 else words.message("Prior report")
        about = document.header.get("StudyDescription") or document.header.get("SeriesDescription", "")
        value = f"{date}, {safe(about)}" if about else date
        fields.append({"name": [{"t": name}], "value": [{"t": value}], "fields": []})
    return {"kind": "fields", "title": [], "fields": fields}


def _key(one: Measurement, rule: str) -> Key | None:
    """What a measurement is known by: tracking UID, tracking identifier, or for those without either their place."""
    name = (one.name.value, one.name.scheme) if one.name else ()
    how = tuple((code.value, code.scheme) if code else () for code in (one.derivation, one.method))
    if rule == "uid":
        return (one.tracking_uid, name, how) if one.tracking_uid else None
    if rule == "id":
        return (one.tracking_id.strip().casefold(), name, how) if one.tracking_id.strip() else None
    if one.tracking_uid or one.tracking_id:
        return None
    place = tuple((code.value, code.scheme) for code in one.sites)
    side = (one.laterality.value, one.laterality.scheme) if one.laterality else ()
    finding = (one.finding.value, one.finding.scheme) if one.finding else ()
    inside = tuple((code.value, code.scheme) for code in one.container)
    return (name, how, finding, place, side, inside)


def _matched(documents: Sequence[Document]) -> tuple[list[list[Measurement | None]], int]:
    """Measurements that belong together, and how many have the name of another one of their report."""
    remaining = [list(document.measurements) for document in documents]
    rows: list[list[Measurement | None]] = []
    ambiguous: set[tuple[int, str]] = set()
    for rule in ("uid", "id", "place"):
        tables: list[dict[Key, list[Measurement]]] = []
        for point in remaining:
            table: dict[Key, list[Measurement]] = {}
            for one in point:
                key = _key(one, rule)
                if key is not None:
                    table.setdefault(key, []).append(one)
            tables.append(table)
        for key in dict.fromkeys(key for table in reversed(tables) for key in table):
            matches = [table.get(key, []) for table in tables]
            if sum(bool(own) for own in matches) < 2:
                continue
            if any(len(own) > 1 for own in matches):
                ambiguous |= {(n, one.id) for n, own in enumerate(matches) for one in own}
                continue
            rows.append([own[0] if own else None for own in matches])
            for point, own in zip(remaining, matches, strict=True):
                point[:] = [one for one in point if not own or one is not own[0]]
    for n in range(len(remaining) - 1, -1, -1):
        rows += [
            [one if m == n else None for m in range(len(remaining))]
            for one in remaining[n]
            if (n, one.id) not in ambiguous
        ]
    return rows, len(ambiguous)


def _number(one: Measurement | None) -> Decimal | None:
    if one is None or not (one.text or one.value is not None):
        return None
    try:
        value = Decimal(one.text or repr(one.value))
    except InvalidOperation:
        return None
    return value if value.is_finite() and abs(value.adjusted()) < 40 else None


def _compared(
    values: Sequence[Measurement | None], dates: Sequence[str], spans: Spans, words: Catalogue
) -> tuple[list[list[dict[str, str]]], dict[str, Any], dict[str, Any] | None]:
    present = [one for one in values if one is not None]
    last = present[-1]
    numbers = [_number(one) for one in values]
    first, current = numbers[0] if values[0] is not None else None, numbers[-1]
    before = next((n for n in range(len(values) - 2, -1, -1) if numbers[n] is not None), None)
    units = {
        (one.unit.value, one.unit.scheme) if one.unit else ("", "")
        for one in (values[-1], values[before] if before is not None else None)
        if one
    }
    absolute = relative = None
    if before is not None and current is not None and len(units) == 1:
        with localcontext() as context:
            context.prec = 60
            prior = numbers[before]
            assert prior is not None
            absolute = current - prior
            relative = None if prior == 0 else 100 * absolute / abs(prior)
    if values[-1] is None:
        status = "gone"
    elif all(one is None for one in values[:-1]):
        status = "new"
    elif len(units) > 1:
        status = "other unit"
    else:
        status = "compared"
    finding = [spans.code(last.finding)] if last.finding else [spans.text(last.tracking_id)] if last.tracking_id else []
    for code in (*last.sites, *([last.laterality] if last.laterality else [])):
        finding += [*([{"t": ", "}] if finding else []), spans.code(code)]
    name = [spans.code(last.name)] if last.name else [spans.message("Number")]
    for code in (last.derivation, last.method):
        if code is not None:
            name += [{"t": ", "}, spans.code(code)]
    unit = shown_unit(last.unit)
    cells = [finding, name]
    cells += [
        []
        if one is None
        else spans.number(
            Value(
                kind="number",
                text=one.text or (repr(one.value) if one.value is not None else ""),
                unit=one.unit,
                qualifier=one.qualifier,
            )
        )
        for one in values
    ]
    cells.append(
        [] if absolute is None else [{"t": f"{_signed(absolute, words)}\u00a0{unit}".rstrip("\u00a0"), "k": "num"}]
    )
    cells.append([] if relative is None else [{"t": _signed(relative.quantize(Decimal("0.1")), words), "k": "num"}])
    cells.append([spans.message(status)])
    fact = {
        "name": last.name._asdict() if last.name else None,
        "finding": last.finding._asdict() if last.finding else None,
        "tracking_id": last.tracking_id,
        "values": [None if one is None else one.text for one in values],
        "units": [None if one is None or one.unit is None else one.unit.value for one in values],
        "absolute": None if absolute is None else f"{absolute:f}" if abs(absolute.adjusted()) < 20 else str(absolute),
        "percent": None if relative is None else float(relative),
        "status": status,
    }
    there = [(n, float(value)) for n, value in enumerate(numbers) if value is not None]
    trend = None
    if len(there) > 1 and len(units) == 1 and first is not None:
        trend = _trend(there, len(values), last, dates, words, spans)
    return cells, fact, trend


def _signed(value: Decimal, words: Catalogue) -> str:
    text = f"{value:f}" if abs(value.adjusted()) < 20 else str(value)
    shown = shown_number(text, words.language)
    return shown if shown.startswith("-") or value == 0 else f"+{shown}"


def _trend(
    there: Sequence[tuple[int, float]],
    count: int,
    last: Measurement,
    dates: Sequence[str],
    words: Catalogue,
    spans: Spans,
) -> dict[str, Any]:
    """A small drawing of the values in the order of the dates."""
    low, high = min(value for _, value in there), max(value for _, value in there)
    height = high - low or 1.0
    points = [
        [
            _EDGE + n / max(1, count - 1) * (_WIDTH - 2 * _EDGE),
            _HEIGHT - _EDGE - (value - low) / height * (_HEIGHT - 2 * _EDGE) if high > low else _HEIGHT / 2,
        ]
        for n, value in there
    ]
    name = spans.code(last.name)["t"] if last.name else words.message("Number")
    about = last.tracking_id or (spans.code(last.finding)["t"] if last.finding else "")
    words_ = ", ".join(f"{dates[n]}: {shown_number(_plain(value), words.language)}" for n, value in there)
    label = f"{about}: {name}" if about else name
    return {
        "kind": "trend",
        "width": _WIDTH,
        "height": _HEIGHT,
        "points": [[round(x, 2), round(y, 2)] for x, y in points],
        "alt": safe(f"{label} – {words_} {shown_unit(last.unit)}".rstrip()),
    }


def _plain(value: float) -> str:
    return f"{value:.10g}"


#: Concepts of diameters -> name of the quantity that RECIST is judged by.
_DIAMETERS = {
    ("410668003", "SCT"): "length",
    ("G-D7FE", "SRT"): "length",
    ("81827009", "SCT"): "length",
    ("M-02550", "SRT"): "length",
    ("103339001", "SCT"): "long_axis",
    ("G-A185", "SRT"): "long_axis",
    ("103340004", "SCT"): "short_axis",
    ("G-A186", "SRT"): "short_axis",
}
_TO_MM = {"mm": 1.0, "cm": 10.0}


def _lesions(document: Document) -> list[Any]:
    """Diameters of tracked findings, as `gpukit.findings` compares them."""
    from gpukit.findings.measurement import Measurement as Finding
    from gpukit.findings.measurement import Quantity

    grouped: dict[tuple[str, str], dict[str, float]] = {}
    for one in document.measurements:
        name = _DIAMETERS.get((one.name.value, one.name.scheme)) if one.name else None
        value, factor = _number(one), _TO_MM.get(one.unit.value) if one.unit else None
        if name and value is not None and factor and (one.tracking_uid or one.tracking_id):
            grouped.setdefault((one.tracking_uid, one.tracking_id), {}).setdefault(name, float(value) * factor)
    matches = []
    for (uid, identifier), values in grouped.items():
        both = "long_axis" in values
        names = [name for name in ("long_axis", "short_axis") if name in values] if both else ["length"]
        if all(name in values for name in names):
            quantities = tuple(Quantity(name, values[name], "mm") for name in names)
            kind = "bidirectional" if both else "distance"
            matches.append(Finding(kind=kind, quantities=quantities, tracking_uid=uid, tracking_id=identifier))
    return matches


def _response(documents: Sequence[Document], words: Catalogue) -> tuple[dict[str, Any] | None, list[str]]:
    """RECIST 1.1, where the reports have diameters that it can judge by."""
    from gpukit.findings.compare import compare
    from gpukit.findings.recist import CATEGORIES

    lesions = [_lesions(document) for document in documents]
    if not all(lesions):
        return None, []
    try:
        response = compare(*lesions).response
    except GpukitError:  # names that are not unique: which lesion is meant can't be told
        return None, []
    if response is None:
        return None, []
    sums = " → ".join(
        words.message("not measured") if value is None else f"{shown_number(f'{value:.1f}', words.language)}\u00a0mm"
        for value in response.sums
    )
    sentence = words.message(
        "RECIST 1.1: {category} ({code}); sum of diameters of the target lesions ({count}): {sums}",
        category=words.message(CATEGORIES[response.category]),
        code=response.category,
        count=len(response.targets),
        sums=sums,
    )
    if response.from_nadir is not None:
        sentence += words.message(
            "; {percent} % from the smallest sum before",
            percent=shown_number(f"{100 * response.from_nadir:+.1f}", words.language),
        )
    facts = {
        "category": response.category,
        "sums": list(response.sums),
        "nadir": response.nadir,
        "from_baseline": response.from_baseline,
        "from_nadir": response.from_nadir,
        "targets": list(response.targets),
        "new": list(response.new),
        "reasons": list(response.reasons),
    }
    return facts, [f"{sentence}.", *response.reasons]
