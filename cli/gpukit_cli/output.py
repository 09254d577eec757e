"""Results on standard output or in a file: tables for people, JSON for programs.

Standard output carries data only. Every JSON document is an object with a ``schema_version``.
"""

from __future__ import annotations

import csv
import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpukit.documents.atomic import atomic_path
from gpukit.documents.json_csv import csv_cell, json_text

__all__ = ["close_stdout", "csv_text", "emit", "json_text", "table"]


def csv_text(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Comma-separated values with a header line (RFC 4180, line feed at the end of lines); no cell is a formula."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([csv_cell(cell) for cell in row] for row in rows)
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


def close_stdout() -> None:
    """Point standard output at nothing, so that the interpreter's last flush can't fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
