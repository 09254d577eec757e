"""``gpukit measure list`` and ``again``: measurements that somebody wrote down, here or elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gpukit_cli.commands.measure.options import Result
from gpukit_cli.groups import with_groups
from gpukit_cli.params import source_of
from gpukit_cli.progress import Progress

__all__ = ["register"]

Files = Annotated[
    list[Path],
    typer.Argument(metavar="FILE...", help="DICOM SR, presentation state, or gpukit's JSON.", show_default=False),
]


@with_groups
def list_(
    files: Files,
    *,
    result: Result,
) -> None:
    """List the measurements in structured reports (TID 1500), presentation states and gpukit's JSON."""
    chosen = result.check()
    from gpukit.errors import GpukitError
    from gpukit.findings.measurement import Row
    from gpukit.findings.read import read_measurements

    rows = []
    for file in files:
        try:
            rows += read_measurements(file)
        except GpukitError as error:
            rows.append(Row(file=str(file), error=str(error).removeprefix(f"{file}: ")))
    if not rows:
        typer.echo("No measurements.", err=True)
    result.write(rows, chosen)


@with_groups
def again(
    *,
    file: Annotated[Path, typer.Argument(metavar="FILE", help="DICOM SR, presentation state, or gpukit's JSON.")],
    images: Annotated[
        list[Path], typer.Argument(metavar="IMAGE...", help="The images measured on: files, folders, globs, a zip.")
    ],
    result: Result,
) -> None:
    """Measure once more what a file states, on its images, and tell the difference."""
    chosen = result.check()
    from gpukit.findings.read import read_measurements
    from gpukit.measure.spatial.remeasure import measure_again

    with Progress() as progress:
        rows = measure_again(read_measurements(file), source_of(images), progress=progress)
    result.write(rows, chosen)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    app.command("list")(list_)
    app.command("again")(again)
