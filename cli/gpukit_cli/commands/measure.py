"""``gpukit measure``: clinical measurements on images and series."""

from __future__ import annotations

import typer

from gpukit_cli.commands import measure_compare, measure_lengths, measure_objects, measure_values

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def measure() -> None:
    """Measure lengths, areas, volumes and values, each with its unit and where its scale came from.

    Points are column,row with 0,0 the centre of the first pixel.
    """


measure_lengths.register(app)
measure_compare.register(app)
measure_values.register(app)
measure_objects.register(app)
