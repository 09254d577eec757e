"""``gpukit measure bidirectional`` and ``compare``: lesions, and how they changed."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.commands.measure.options import (
    CalibrationText,
    FrameText,
    Names,
    OverlayPicture,
    PolygonPoints,
    Result,
    calibration_given,
    shape_given,
)
from gpukit_cli.commands.measure.region_options import Opening
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit
from gpukit_cli.params import Inputs, command_with_lists, point, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.findings.measurement import Row
    from gpukit.segmentation import Segmentation

__all__ = ["register"]


@with_groups
def bidirectional(
    inputs: Inputs,
    *,
    polygon: PolygonPoints = None,
    mask: Annotated[
        Path | None,
        typer.Option(
            "--mask", metavar="FILE", help="The lesion on a series: DICOM SEG, RTSTRUCT, NIfTI, MetaImage, NRRD."
        ),
    ] = None,
    label: Annotated[
        list[str] | None,
        typer.Option("--label", metavar="LABEL", help="A label of the mask, number or name; may be given again."),
    ] = None,
    frame: FrameText = None,
    opening: Opening,
    calibration: CalibrationText = None,
    names: Names,
    overlay: OverlayPicture = None,
    result: Result,
) -> None:
    """Longest diameter of a lesion and the longest one perpendicular to it, of a polygon or of each label of a mask."""
    chosen = result.check()
    scale = calibration_given(calibration)
    if (mask is None) == (not polygon):
        raise typer.BadParameter("give the lesion as a --polygon of a frame, or as a --mask of a series")
    if mask is not None and (frame is not None or scale is not None):
        raise typer.BadParameter("--frame and --calibration are for a --polygon: a mask belongs to a whole series")
    if mask is None and (label or opening.series is not None or opening.phase is not None):
        raise typer.BadParameter("--label, --series and --phase are for a --mask")
    with Progress() as progress:
        if mask is None:
            from gpukit.measure.batch import each_frame
            from gpukit.measure.region.shapes import Polygon
            from gpukit.measure.spatial.bidirectional import bidirectional as measure

            shape = shape_given(polygon=polygon)
            assert isinstance(shape, Polygon)
            rows = each_frame(
                source_of(inputs), lambda f: measure(f, shape, calibration=scale), frames=frame, progress=progress
            )
        else:
            rows = _of_mask(inputs, mask, label, opening, progress)
    result.write(names.given_to(rows), chosen, overlay=overlay)


@with_groups
def compare(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="BASELINE CURRENT...", help="Measurements, oldest first: JSON, SR or GSPS.", show_default=False
        ),
    ],
    recist: Annotated[bool, typer.Option("--recist/--no-recist", help="Judge the response by RECIST 1.1.")] = True,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target", metavar="NAME", help="A target lesion [default: all of the baseline]; may be repeated."
        ),
    ] = None,
    node: Annotated[
        list[str] | None,
        typer.Option("--node", metavar="NAME", help="A target that is a lymph node: its short axis counts."),
    ] = None,
    absent: Annotated[
        list[str] | None, typer.Option("--absent", metavar="NAME", help="A lesion that has disappeared.")
    ] = None,
    new_lesion: Annotated[
        bool | None,
        typer.Option(
            "--new-lesion/--no-new-lesion", help="Whether there are new lesions [default: diameters without a partner]."
        ),
    ] = None,
    result: Result,
) -> None:
    """Compare time points: absolute and relative change of each finding, and the response of the target lesions.

    Measurements belong together by tracking UID, else tracking identifier, else label (--annotation).
    """
    chosen = result.check()
    if chosen.name not in ("text", "json", "csv"):
        raise typer.BadParameter(f"a comparison can be written as text, json or csv, not as {chosen.name}")
    if len(files) < 2:
        raise typer.BadParameter("give two files or more, the oldest first")
    if not recist and (target or node or absent or new_lesion is not None):
        raise typer.BadParameter("--target, --node, --absent and --new-lesion belong to --recist")
    import gpukit.findings.compare_text as comparison_text
    from gpukit.findings.compare import compare as measure

    comparison = measure(
        *files,
        recist=recist,
        targets=target or (),
        nodes=node or (),
        absent=absent or (),
        new_lesion=new_lesion,
    )
    writer = getattr(comparison_text, f"comparison_{chosen.name}")
    emit(writer(comparison), result.output, force=result.force)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit measure``."""
    app.command("bidirectional", cls=command_with_lists(polygon=point))(bidirectional)
    app.command("compare")(compare)


def _of_mask(
    inputs: list[Path],
    mask: Path,
    labels: list[str] | None,
    opening: Opening,
    progress: Any,
) -> list[Row]:
    """A row for each label."""
    from gpukit.io.masks import open_masks

    volume = opening.open(inputs, progress)
    parts = open_masks(mask, volume, labels=labels or None)
    for note in dict.fromkeys(note for part in parts for note in part.notes):
        warn(note)
    return [_row(str(mask), part, n) for part in parts for n in range(len(part.labels))]


def _row(file: str, part: Segmentation, n: int) -> Row:
    from dataclasses import replace

    from gpukit.errors import GpukitError
    from gpukit.findings.measurement import Row
    from gpukit.measure.spatial.bidirectional import bidirectional as measure
    from gpukit.volume import Volume

    label = part.labels[n]
    on = Volume(
        array=part.array, grid=part.grid, sources=part.sources, metadata=part.metadata, geometry=part.geometry
    )  # fmt: skip
    try:
        measurement = measure(on, part, label=label.value)
    except GpukitError as error:
        return Row(file=file, error=str(error))
    named = replace(measurement, label=label.name, tracking_id=label.tracking_id, tracking_uid=label.tracking_uid)
    return Row(file=file, measurement=named)
