"""``gpukit ai detect``: boxes around findings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.options import Precision, Runtime, check_targets, deliver, find, format_by_name
from gpukit_cli.commands.profile_option import Wanted, profiled
from gpukit_cli.commands.series_options import Opening
from gpukit_cli.failures import warn
from gpukit_cli.output import csv_text, emit, json_text, table
from gpukit_cli.params import Device, FillGaps, Force, Inputs, Json, MaxGap, Phase, Series, SkipDamaged
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.tasks.detect import Detections

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "json": (".json",),
    "csv": (".csv",),
    "text": (".txt",),
    "gsps": (".dcm",),
    "sr": (".dcm",),
}


def detect(
    inputs: Inputs,
    model: Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help=".json, .csv, .txt, or .dcm with --format gsps or sr."),
    ] = None,
    form: Annotated[
        Literal["json", "csv", "text", "gsps", "sr"] | None,
        typer.Option("--format", help="[default: by the output's suffix]"),
    ] = None,
    confidence: Annotated[
        float | None,
        typer.Option("--confidence", metavar="SCORE", min=0.0, max=1.0, help="Least score [default: the model's]."),
    ] = None,
    iou: Annotated[
        float | None,
        typer.Option(
            "--iou", metavar="SHARE", min=0.0, max=1.0, help="Overlap of boxes of a class that drops the weaker."
        ),
    ] = None,
    render_overlay: Annotated[
        Path | None, typer.Option("--render-overlay", metavar="PNG", help="Also draw the boxes over the image.")
    ] = None,
    create_sr: Annotated[
        Path | None, typer.Option("--create-sr", metavar="FILE", help="Also write the boxes as a DICOM SR.")
    ] = None,
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Pictures or windows run together [default: the model's, else 8 or 1]",
        ),
    ] = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    force: Force = False,
    profile: Wanted = False,
    as_json: Json = False,
) -> None:
    """Find things in pictures, series or volumes: boxes with class and score, in pixels and in the patient."""
    from gpukit.ai.tasks.detect import detect as run
    from gpukit.errors import InputError
    from gpukit.profiling import stage

    if render_overlay is not None and render_overlay.suffix.lower() != ".png":
        raise typer.BadParameter(f"--render-overlay is a PNG picture: {render_overlay} must end in .png")
    kind = format_by_name(output, form, _SUFFIXES, as_json=as_json)
    if kind in ("gsps", "sr") and (output is None or str(output) == "-"):
        raise typer.BadParameter(f"--format {kind} needs an --output FILE")
    for name, path in (("--create-sr", create_sr), ("--render-overlay", render_overlay)):
        if path is not None and str(path) == "-":
            raise typer.BadParameter(f"{name} needs a FILE")
    check_targets(output, render_overlay, create_sr, force=force)
    described = find(model, runtime=runtime).for_task("detect")
    with Progress() as progress, profiled(profile) as seen:
        volume = Opening(series, phase, fill_gaps, False, skip_damaged, device, max_gap).open(inputs, progress)
        if (create_sr is not None or kind in ("gsps", "sr")) and not volume.sources:
            raise InputError(
                "a DICOM SR or GSPS must refer to DICOM images, and the input is none", file=inputs[0],
                fix="write JSON or CSV instead",
            )  # fmt: skip
        found = run(
            volume, described, runtime=runtime, precision=precision, confidence=confidence, iou=iou, batch=batch_size,
            progress=lambda done, total: progress("inference", done, total),
        )  # fmt: skip
        from gpukit.ai.results.detection_overlay import draw_boxes
        from gpukit.ai.results.detection_report import write_gsps, write_sr

        for note in found.notes:
            warn(note)
        with stage("writing"):  # what may be impossible comes first, so that a refusal leaves nothing behind
            if create_sr is not None:
                write_sr(found, create_sr, force=force)
            if kind in ("gsps", "sr") and output is not None:
                (write_gsps if kind == "gsps" else write_sr)(found, output, force=force)
            if render_overlay is not None:
                plane = described.picture_input.plane if described.dimensions == 2 else "stored"
                draw_boxes(volume, found, render_overlay, plane=plane, force=force)
    measured = None if seen is None else seen.content()
    if kind not in ("gsps", "sr"):
        deliver(lambda form: _text(form, found, str(inputs[0]), measured), kind, output, as_json=as_json, force=force)
    else:
        emit(_text("json", found, str(inputs[0]), measured) if as_json else f"{output}\n")


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("detect")(detect)


def _text(kind: str, found: Detections, name: str, profile: dict[str, Any] | None) -> str:
    from gpukit.ai.results.documents import detection_entry, detections_document
    from gpukit.files.provenance import made_by

    if kind == "json":
        content = detections_document(found, name)
        return json_text("detections", content if profile is None else {**content, "profile": profile})
    entries = [detection_entry(one, name) for one in found.boxes]
    rows = [
        (
            e["file"], "" if e["slice"] is None else e["slice"], e["frame"] or "", e["class"], f"{e['score']:.4f}",
            *(f"{v:.2f}" for v in e["box"]["low"] + e["box"]["high"]),
        )
        for e in entries
    ]  # fmt: skip
    axes = (
        ("X0", "Y0", "X1", "Y1")
        if not found.boxes or len(found.boxes[0].box) == 4
        else ("I0", "J0", "K0", "I1", "J1", "K1")
    )
    columns = ("FILE", "SLICE", "FRAME", "CLASS", "SCORE", *axes)
    model = found.model
    if kind == "csv":
        identity = (model["name"], model["version"], model["digest"])
        return csv_text([*(c.lower() for c in columns), "model", "version", "digest"], [(*r, *identity) for r in rows])
    return f"{table(columns, rows)}Model: {made_by(model)}\n"
