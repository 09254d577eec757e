"""``gpukit measure``: clinical measurements on images and series."""

from __future__ import annotations

import typer

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def measure() -> None:
    """Measure lengths, areas, volumes and values, each with its unit and where its scale came from."""
