"""``gpukit measure``: clinical measurements on images and series."""

from __future__ import annotations

import typer

from gpukit_cli.commands.measure import followup, spatial, stored, values

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def measure() -> None:
    """Measure lengths, areas, volumes and values, each with its unit and where its scale came from.

    Points are column,row with 0,0 the centre of the first pixel.
    """


spatial.register(app)
followup.register(app)
values.register(app)
stored.register(app)
