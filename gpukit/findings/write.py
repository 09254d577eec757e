"""The formats that measurements can be written in, and writing them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from gpukit.documents.atomic import atomic_path
from gpukit.errors import InputError, OutputError
from gpukit.findings.measurement import Options, Row

__all__ = ["FORMATS", "Format", "format_of", "render", "write"]


@dataclass(frozen=True)
class Format:
    """One format to write measurements in.

    Parameters
    ----------
    name : str
        What ``--format`` calls it.
    suffixes : tuple of str
        File suffixes that choose it where ``--format`` does not.
    text : callable or None
        Of a text format: ``text(rows, options)`` returns the document.
    binary : callable or None
        Of a format that can only go to a file: ``binary(rows, path, options)`` writes a temporary file, which is moved
        into place afterwards.
    """

    name: str
    suffixes: tuple[str, ...]
    text: Callable[[Sequence[Row], Options], str] | None = None
    binary: Callable[[Sequence[Row], Path, Options], None] | None = None


def _text(rows: Sequence[Row], options: Options) -> str:
    from gpukit.findings.text import text

    return text(rows, options)


def _json(rows: Sequence[Row], options: Options) -> str:
    from gpukit.findings.json_csv import json_text

    return json_text(rows, options)


def _csv(rows: Sequence[Row], options: Options) -> str:
    from gpukit.findings.json_csv import measurements_csv

    return measurements_csv(rows, options)


def _gsps(rows: Sequence[Row], path: Path, options: Options) -> None:
    from gpukit.findings.dicom_objects import write_gsps

    write_gsps(rows, path, options)


def _sr(rows: Sequence[Row], path: Path, options: Options) -> None:
    from gpukit.findings.dicom_objects import write_sr

    write_sr(rows, path, options)


def _seg(rows: Sequence[Row], path: Path, options: Options) -> None:
    from gpukit.findings.segment import write_seg

    write_seg(rows, path, options)


#: Every format, by name. The first one is the default on a terminal.
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("text", (".txt",), text=_text),
        Format("json", (".json",), text=_json),
        Format("csv", (".csv",), text=_csv),
        Format("gsps", (".dcm",), binary=_gsps),
        Format("sr", (".dcm",), binary=_sr),
        Format("seg", (".dcm",), binary=_seg),
    )
}


def format_of(output: str | Path | None, name: str | None = None) -> Format:
    """Return the format that a name asks for, else the one that the output's suffix does, else text.

    Raises
    ------
    InputError
        There is no such format, or the suffix does not say which one is meant.
    """
    if name is not None:
        if name.lower() not in FORMATS:
            raise InputError(f"unknown format {name!r}", attribute="format", fix=f"use one of {', '.join(FORMATS)}")
        chosen = FORMATS[name.lower()]
        if chosen.binary and output in (None, "-", Path("-")):
            raise InputError(f"{chosen.name} can only go to a file", attribute="format", fix="give --output FILE")
        return chosen
    if output is None or str(output) == "-":
        return FORMATS["text"]
    suffix = Path(output).suffix.lower()
    fitting = [form for form in FORMATS.values() if suffix in form.suffixes]
    if len(fitting) == 1:
        return fitting[0]
    names = [form.name for form in fitting] or list(FORMATS)
    raise InputError(
        f"the suffix {suffix!r} does not say which format is meant", file=output, attribute="format",
        fix=f"give --format {' or '.join(names)}",
    )  # fmt: skip


def render(rows: Sequence[Row], form: Format, options: Options | None = None) -> str:
    """Return the text of a format that is text."""
    if form.text is None:
        raise InputError(f"{form.name} is not a text format", attribute="format", fix="write it to a file")
    return form.text(rows, options or Options())


def write(
    rows: Sequence[Row], output: str | Path, form: Format, *, options: Options | None = None, force: bool = False
) -> None:
    """Write a file, whole or not at all.

    Raises
    ------
    OutputExistsError
        It exists and `force` is false.
    OutputError
        It cannot be written, or there is no measurement for a format that can hold nothing else.
    """
    chosen = options or Options()
    if form.binary and not any(row.measurement for row in rows):
        raise OutputError(f"there is no measurement to write as {form.name}", file=output)
    with atomic_path(output, force=force) as temporary:
        if form.binary is not None:
            form.binary(rows, temporary, chosen)
        else:
            temporary.write_text(render(rows, form, chosen), encoding="utf-8")
