"""``gpukit report create``: a structured report from a list of measurements."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.params import Force

__all__ = ["register"]


def create(
    measurements: Annotated[
        Path,
        typer.Argument(metavar="MEASUREMENTS", help="JSON or CSV, as `gpukit measure` writes it.", show_default=False),
    ],
    *,
    image: Annotated[
        list[Path],
        typer.Option("--image", metavar="DIR", help="The measured images: files, folders or a zip; may be repeated."),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", metavar="FILE", help="The DICOM SR file.")],
    observer: Annotated[
        str, typer.Option("--observer", metavar="NAME", help="Who measured, as DICOM writes names.", show_default=False)
    ] = "",
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Description of the series.", show_default=False)
    ] = "",
    force: Force = False,
) -> None:
    """Write a structured report (TID 1500) of measurements on their images."""
    from gpukit.report.measurement_sr import create as write

    write(measurements, output, images=image, observer=observer, title=title, force=force)


def register(app: typer.Typer) -> None:
    """Add the command to ``gpukit report``."""
    app.command("create")(create)
