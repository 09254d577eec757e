"""Plain text in 80 columns; wide characters count as two."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from gpukit.report.view.spans import plain
from gpukit.report.words.safe_text import cell_width

__all__ = ["COLUMNS", "write_text"]

COLUMNS = 80
_GAP = 2
_WORDS = re.compile(r"[^\S\u00a0\u202f]+")


def write_text(view: dict[str, Any]) -> str:
    """The view as text."""
    lines: list[str] = []
    for words in (view["letterhead"], view["institution"]):
        if words:
            lines += [*wrap(words, COLUMNS), ""]
    title = plain(view["title"])
    heading = wrap(title, COLUMNS)
    lines += [*heading, "=" * min(COLUMNS, max(map(cell_width, heading), default=1)), ""]
    for banner in view["banners"]:
        lines += [*wrap(f"*** {banner['word']}: {banner['text']} ***", COLUMNS)]
    for note in view["notes"]:
        lines += wrap(f"! {note}", COLUMNS)
    if view["banners"] or view["notes"]:
        lines.append("")
    for part in view["parts"]:
        _section(part, lines)
    if view["footer"]:
        lines += ["-" * COLUMNS, *wrap(view["footer"], COLUMNS)]
    while lines and not lines[-1]:
        lines.pop()
    return "\n".join(line.replace("\u00a0", " ").rstrip() for line in lines) + "\n"


def _section(section: dict[str, Any], lines: list[str]) -> None:
    title = plain(section["title"])
    if title:
        mark = {2: "=", 3: "-"}.get(section["level"], "")
        if mark:
            shown = wrap(title, COLUMNS)
            lines += [*shown, mark * min(COLUMNS, max(map(cell_width, shown)))]
        else:
            lines += wrap(f"{'#' * min(section['level'] - 1, 6)} {title}", COLUMNS)
    for field in section["context"]:
        _field(field, lines, 0)
    for block in section["blocks"]:
        kind = block["kind"]
        if kind == "section":
            if lines and lines[-1]:
                lines.append("")
            _section(block, lines)
        elif kind == "fields":
            if block["title"]:
                lines += wrap(f"{plain(block['title'])}:", COLUMNS)
            for field in block["fields"]:
                _field(field, lines, 2 if block["title"] else 0)
        elif kind == "text":
            _text(block, lines)
        elif kind == "table":
            lines += _table(block)
        elif kind == "list":
            for item in block["items"]:
                lines += wrap(f"- {plain(item)}", COLUMNS, indent=2)
        elif kind == "note":
            lines += wrap(f"! {block['text']}", COLUMNS)
        elif kind == "figures":
            for figure in block["figures"]:
                lines += wrap(f"[{figure['alt']}]", COLUMNS)
        elif kind == "trend":
            lines += wrap(block["alt"], COLUMNS)
    if lines and lines[-1]:
        lines.append("")


def _field(field: dict[str, Any], lines: list[str], indent: int) -> None:
    name = plain(field["name"])
    value = plain(field["value"])
    head = f"{name}: {value}" if name else value
    lines += [" " * indent + line for line in wrap(head.rstrip(), COLUMNS - indent, indent=2)]
    for inner in field["fields"]:
        _field(inner, lines, min(indent + 2, 40))


def _text(block: dict[str, Any], lines: list[str]) -> None:
    name = plain(block["name"])
    if name:
        lines += wrap(f"{name}:", COLUMNS)
    lines += wrap(plain(block["body"]), COLUMNS)
    for field in block["fields"]:
        _field(field, lines, 2)


def _table(table: dict[str, Any]) -> list[str]:
    """Columns side by side, or where they do not fit a list for each row."""
    head = [plain(column["title"]) for column in table["columns"]]
    rows = [[plain(cell) for cell in row] for row in table["rows"]]
    numeric = [column["num"] for column in table["columns"]]
    caption = wrap(f"{plain(table['caption'])}:", COLUMNS) if table["caption"] else []
    natural = [max(cell_width(line) for row in (head, *rows) for line in row[n].split("\n")) for n in range(len(head))]
    least = [
        max((cell_width(word) for row in (head, *rows) for word in _WORDS.split(row[n])), default=1)
        for n in range(len(head))
    ]
    space = COLUMNS - _GAP * (len(head) - 1)
    if sum(least) > space:
        return [*caption, *_as_lists(head, rows)]
    widths = list(natural)
    while sum(widths) > space:
        most = max((n for n in range(len(widths)) if widths[n] > least[n]), key=lambda n: widths[n] - least[n] / 2)
        widths[most] = max(least[most], widths[most] - max(1, (sum(widths) - space) // 2))
    lines = [*caption, *_row(head, widths, numeric), (" " * _GAP).join("-" * width for width in widths)]
    for row in rows:
        lines += _row(row, widths, numeric)
    return lines


def _row(cells: Sequence[str], widths: Sequence[int], numeric: Sequence[bool]) -> list[str]:
    wrapped = [wrap(cell, width) or [""] for cell, width in zip(cells, widths, strict=True)]
    lines = []
    for n in range(max(map(len, wrapped))):
        parts = []
        for cell, width, right in zip(wrapped, widths, numeric, strict=True):
            text = cell[n] if n < len(cell) else ""
            blank = " " * max(0, width - cell_width(text))
            parts.append(blank + text if right else text + blank)
        lines.append((" " * _GAP).join(parts).rstrip())
    return lines


def _as_lists(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines: list[str] = []
    for row in rows:
        first = True
        for name, cell in zip(head, row, strict=True):
            if cell:
                lines += [("- " if first else "  ") + line for line in wrap(f"{name}: {cell}", COLUMNS - 2, indent=2)]
                first = False
    return lines


def wrap(text: str, columns: int, *, indent: int = 0) -> list[str]:
    """Lines of at most `columns` columns; those after the first are indented. Line feeds of the text stay."""
    lines: list[str] = []
    for paragraph in text.split("\n"):
        line, used = "", 0
        lead = " " * indent if lines else ""
        for word in _WORDS.split(paragraph):
            width = cell_width(word)
            if line and used + 1 + width <= columns:
                line, used = f"{line} {word}", used + 1 + width
                continue
            if line:
                lines.append(line)
                lead = " " * indent
            room = columns - len(lead)
            while cell_width(word) > room:  # no blank to break at, as in Chinese and Japanese
                head = _fitting(word, room)
                lines.append(lead + head)
                word = word[len(head) :]
                lead = " " * indent
                room = columns - len(lead)
            line = lead + word
            used = cell_width(line)
        lines.append(line)
    return lines


def _fitting(word: str, columns: int) -> str:
    used = 0
    for n, sign in enumerate(word):
        used += cell_width(sign)
        if used > columns and n:
            return word[:n]
    return word
