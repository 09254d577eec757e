"""``gpukit 3d``: planes, projections, pictures and exports of volumes."""

from __future__ import annotations

import typer

from gpukit_cli.commands.three_d import animate, curved_mpr, export, planes, show, surface, volume

app = typer.Typer(add_completion=False, rich_markup_mode=None, no_args_is_help=True)


@app.callback()
def three_d() -> None:
    """Planes, projections, pictures and exports of volumes.

    Maximum intensity projection: mip. Volume rendering: volume. Curved planar reformation: curved-mpr.
    """


for module in (export, planes, volume, animate, curved_mpr, surface, show):
    module.register(app)
