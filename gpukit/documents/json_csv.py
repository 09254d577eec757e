"""JSON documents as every tool writes them: an object with a ``schema_version`` and a ``kind``; cells of tables."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

__all__ = ["SCHEMA_VERSION", "csv_cell", "csv_text", "json_text", "plain"]

#: Raised by one when a field changes its meaning or goes away; new fields do not count.
SCHEMA_VERSION = 1
#: First letters of what a spreadsheet runs; the wide ones are those of East Asian keyboards.
_FORMULAS = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
#: First letters that move the rest of a text into a cell of its own.
_CONTROLS = ("\t", "\r", "\n")


def json_text(kind: str, content: Mapping[str, Any]) -> str:
    """A JSON document of `kind`, such as ``"devices"``; numbers that JSON has no word for become null.

    Names of files that are not UTF-8 are escaped as JSON escapes them, and are read back as they were.
    """
    document = {"schema_version": SCHEMA_VERSION, "kind": kind, **content}
    text = json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def plain(value: Any) -> Any:
    """Only what JSON knows: NumPy numbers and arrays, paths, enums and NaN become plain."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    return str(value)


def csv_cell(value: Any) -> Any:
    """The value as a cell of a CSV that a spreadsheet may open.

    Text that a spreadsheet would take for a formula (a class may be named ``=HYPERLINK(...)``) gets an apostrophe
    before it, also behind blanks, which some spreadsheets drop; numbers stay as they are.
    """
    if not isinstance(value, str) or (value.lstrip()[:1] not in _FORMULAS and value[:1] not in _CONTROLS):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def csv_text(columns: Sequence[str], rows: Iterable[Iterable[Any]]) -> str:
    """Comma-separated values with a header line (RFC 4180, line feed at the end of lines); no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([csv_cell(cell) for cell in row] for row in (columns, *rows))
    return out.getvalue()
