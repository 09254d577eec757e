"""Results on standard output or in a file: tables for people, JSON for programs.

Standard output carries data only. Every JSON document is an object with a ``schema_version``.
"""

from __future__ import annotations

import csv
import io
import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpukit.files.atomic import atomic_path

__all__ = ["csv_text", "emit", "json_text", "table"]

#: Raised by one when a field changes its meaning or goes away; new fields do not count.
SCHEMA_VERSION = 1


def json_text(kind: str, content: Mapping[str, Any]) -> str:
    """A JSON document of `kind`, such as ``"devices"``; numbers that JSON has no word for become null."""
    document = {"schema_version": SCHEMA_VERSION, "kind": kind, **content}
    return json.dumps(_plain(document), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Comma-separated values with a header line (RFC 4180, line feed at the end of lines)."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    return out.getvalue()


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns padded with blanks; the last one is not."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def emit(text: str, output: str | Path | None = None, *, force: bool = False) -> None:
    """Write text to standard output (None or ``-``) or, atomically, to a file.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    """
    if output is None or str(output) == "-":
        sys.stdout.write(text)
        sys.stdout.flush()
        return
    with atomic_path(output, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8")


def _plain(value: Any) -> Any:
    """Only what JSON knows: NumPy numbers and arrays, paths, enums and NaN become plain."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if hasattr(value, "tolist"):
        return _plain(value.tolist())
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_plain(item) for item in value]
    return str(value)
