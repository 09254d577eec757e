"""Results on standard output or in a file: tables for people, JSON for programs.

Standard output carries data only. Every JSON document is an object with a ``schema_version``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpukit.documents.atomic import atomic_path
from gpukit.documents.json_csv import json_text
from gpukit.errors import OutputError
from gpukit_cli.streams import ESCAPED, write_stderr, write_stdout

__all__ = ["emit", "json_text", "table"]


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Columns padded with blanks; the last one is not."""
    cells = [[str(cell) for cell in row] for row in (columns, *rows)]
    widths = [max(len(row[n]) for row in cells) for n in range(len(columns))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in cells)
    return "\n".join(lines) + "\n"


def emit(text: str, output: str | Path | None = None, *, force: bool = False, summary: bool = False) -> None:
    r"""Write text to standard output (None or ``-``) or, atomically, to a file.

    Parameters
    ----------
    text : str
        The result; a character that the output's encoding lacks becomes ``\uXXXX``.
    output : path, optional
        Where it goes.
    force : bool
        Overwrite an existing file.
    summary : bool
        The text only says which files were written: where standard output cannot be written that is a note, because
        the result is whole.

    Raises
    ------
    OutputError
        Standard output is closed or full, and the text is the result.
    OutputExistsError
        The file exists and `force` is false.
    """
    if output is None or str(output) == "-":
        if not summary:
            write_stdout(text)
            return
        try:
            write_stdout(text)
        except OutputError as error:
            write_stderr(f"Note: {error.what}; the files are written\n")
        return
    with atomic_path(output, force=force) as temporary:
        temporary.write_text(text, encoding="utf-8", errors=ESCAPED)
