"""``gpukit series``: the series found in an input, with the numbers that ``--series`` takes."""

from __future__ import annotations

from dataclasses import asdict

import typer

from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.params import Inputs, Json, source_of

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.command()
def series(inputs: Inputs, as_json: Json = False) -> None:
    """List the image series in files, directories, globs, a DICOMDIR or a zip.

    What sets images of one series apart, such as M for magnitude and B0 for a field map, stands in parentheses.
    """
    from gpukit.dicom.series.read import collect_source, left_aside
    from gpukit.io.open import list_series

    collection = collect_source(source_of(inputs))
    found = list_series(collection)
    notes = [*left_aside(collection, True)]
    if not found and collection.others:
        notes.append(f"no image series is here, only {', '.join(collection.others)}")
    for note in notes:
        warn(note)
    if as_json:
        emit(json_text("series", {"series": [asdict(one) for one in found]}))
        return
    rows = [
        (
            one.number,
            "-" if one.series_number is None else one.series_number,
            one.modality,
            one.images,
            f"{one.columns}x{one.rows}",
            one.uid,
            f"{one.description} ({one.kind})".lstrip() if one.kind else one.description,
        )
        for one in found
    ]
    emit(table(("--series", "NUMBER", "MODALITY", "IMAGES", "COLUMNSxROWS", "UID", "DESCRIPTION"), rows))
