"""Measurements as text for people."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from gpukit.findings.measurement import UNITS, Measurement, Options, Quantity, Row

__all__ = ["amount", "number", "text"]

#: More rows than this become a table, if they do not have more different numbers than the other.
_MOST_BLOCKS, _MOST_COLUMNS = 3, 4


def number(value: float) -> str:
    """Return a number for people: eight significant digits, no exponent where it can be avoided."""
    if isinstance(value, int):
        return str(value)
    if not math.isfinite(value):
        return "not defined" if math.isnan(value) else str(value)
    text = f"{value:.8g}"
    return f"{value:.8f}".rstrip("0").rstrip(".") if "e" in text and 1e-6 <= abs(value) < 1e15 else text


def amount(quantity: Quantity) -> str:
    """Number and unit for people."""
    return f"{number(quantity.value)} {UNITS.get(quantity.unit, quantity.unit)}".rstrip()


def text(rows: Sequence[Row], options: Options) -> str:
    """One block for each measurement; a table where there are many of a few numbers each."""
    parts = [options.title] if options.title else []
    measured = [row.measurement for row in rows if row.measurement is not None]
    few = len({q.name for one in measured for q in one.quantities}) <= _MOST_COLUMNS
    few = few and not any(one.extra or one.details for one in measured)
    if len(rows) > _MOST_BLOCKS and measured and few:
        parts.append(_table(rows, measured))
    else:
        parts += [_block(row) for row in rows]
    return "\n\n".join(parts) + "\n"


def _table(rows: Sequence[Row], measured: Sequence[Measurement]) -> str:
    """Return a line for each row; what all or many share below it, once."""
    names = list(dict.fromkeys(q.name for one in measured for q in one.quantities))
    labels = any(one.label for one in measured)
    cells = [["file", "frame", *(["label"] if labels else []), *map(_words, names), "scale"]]
    for row in rows:
        one = row.measurement
        head = [row.file, "" if row.frame is None else str(row.frame)]
        if one is None:
            cells.append([*head, *([""] if labels else []), f"error: {row.error}"])
            continue
        values = [amount(one.quantity(name)) if name in one else "" for name in names]
        scale = "" if one.calibration is None else one.calibration.source
        cells.append([*head, *([one.label] if labels else []), *values, scale])
    widths = [max(len(line[n]) for line in cells if n < len(line) - 1) for n in range(len(cells[0]) - 1)] + [0]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=False)).rstrip() for line in cells]
    scales = Counter(one.calibration.text for one in measured if one.calibration is not None)
    lines += ["", *(f"scale: {scale_text}{_times(count, len(rows))}" for scale_text, count in scales.items())]
    notes = Counter(note for one in measured for note in one.notes)
    lines += [f"note: {note}{_times(count, len(rows))}" for note, count in notes.items()]
    return "\n".join(lines)


def _times(count: int, of: int) -> str:
    return "" if count == of else f" ({count} of {of})"


def _block(row: Row) -> str:
    where = row.file + (f" frame {row.frame}" if row.frame is not None else "")
    measured = row.measurement
    if measured is None:
        return f"{where}\n  error: {row.error}"
    lines = [f"{where}"]
    if measured.label:
        lines.append(f"  label: {measured.label}")
    lines += [f"  {_words(quantity.name)}: {amount(quantity)}" for quantity in measured.quantities]
    if measured.method:
        lines.append(f"  method: {measured.method}")
    for graphic in measured.graphics:
        points = " ".join(",".join(f"{value:.10g}" for value in point) for point in graphic.points)
        space = "column,row" if graphic.space == "pixel" else "LPS mm"
        lines.append(f"  {graphic.type.lower()} ({space}): {points}")
    if measured.calibration is not None:
        lines.append(f"  scale: {measured.calibration.text}")
    for detail in measured.details:
        origin = f" ({detail.source})" if detail.source else ""
        value = "-" if detail.value is None else detail.value
        lines.append(f"  {_words(detail.name)}: {value} {detail.unit}".rstrip() + origin)
    if measured.extra:
        lines += [
            f"  {_words(key)}:\n{_indent(value)}" for key, value in measured.extra.items() if isinstance(value, str)
        ]
        if isinstance(measured.extra.get("histogram"), Mapping):
            from gpukit.findings.histogram import draw_text

            lines += ["  histogram:", *(f"    {line}" for line in draw_text(measured.extra["histogram"]))]
    lines += [f"  note: {note}" for note in measured.notes]
    return "\n".join(lines)


def _words(name: str) -> str:
    return name.replace("_", " ")


def _indent(value: str) -> str:
    return "\n".join(f"    {line}" for line in value.splitlines())
