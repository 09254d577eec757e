"""``gpukit ai report``: findings of one or several models as a document."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import (
    Models,
    Precision,
    Runtime,
    Trust,
    check_targets,
    chosen_models,
    deliver,
    format_by_name,
)
from gpukit_cli.commands.series_options import Opening
from gpukit_cli.output import json_text
from gpukit_cli.params import Device, FillGaps, Force, Inputs, Json, MaxGap, Phase, Series, SkipDamaged
from gpukit_cli.progress import Progress

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"json": (".json",), "markdown": (".md",), "text": (".txt",)}


def report(
    inputs: Inputs,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="A model that classifies, detects or segments.")
    ] = None,
    models: Models = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".json, .md or .txt [default: print text]")
    ] = None,
    form: Annotated[
        Literal["json", "markdown", "text"] | None, typer.Option("--format", help="[default: by the output's suffix]")
    ] = None,
    create_sr: Annotated[
        Path | None, typer.Option("--create-sr", metavar="FILE", help="Also write the findings as a DICOM SR.")
    ] = None,
    create_seg: Annotated[
        list[Path] | None,
        typer.Option(
            "--create-seg",
            metavar="FILE",
            help="Also write the labels of a model that segments as DICOM SEG, to whose segments the SR then refers; "
            "once for each such model.",
        ),
    ] = None,
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading of the document.")] = "Findings",
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0.0, max=1.0, help="Least score of detections.")
    ] = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    trust: Trust = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """State what one or several models find in an image."""
    from gpukit.ai.results.documents import report_document
    from gpukit.ai.results.report_documents import as_markdown, segmentations, write_sr
    from gpukit.ai.results.segment_report import written_seg
    from gpukit.ai.tasks.report import report as run
    from gpukit.errors import InputError
    from gpukit.io.save import save

    kind = format_by_name(output, form, _SUFFIXES, as_json=as_json)
    segs = create_seg or []
    if any(str(path) == "-" for path in (create_sr, *segs)):
        raise typer.BadParameter("--create-sr and --create-seg need a FILE")
    check_targets(output, create_sr, *segs, force=force)
    chosen = chosen_models(model, models, trust=trust, runtime=runtime)
    if confidence is not None and all(one.task != "detect" for one in chosen):
        raise typer.BadParameter("--confidence is for models that detect, and none of these does")
    segmenting = sum(one.task == "segment" for one in chosen)
    if segs and len(segs) != segmenting:
        raise typer.BadParameter(f"--create-seg was given {len(segs)} times, and {segmenting} models segment")
    with Progress() as progress:
        volume = Opening(series, phase, fill_gaps, False, skip_damaged, device, max_gap).open(inputs, progress)
        if (create_sr is not None or segs) and not volume.sources:
            raise InputError(
                "a DICOM SR or SEG must refer to DICOM images, and the input is none", file=inputs[0],
                fix="write JSON instead",
            )  # fmt: skip
        made = run(
            volume, chosen, runtime=runtime, precision=precision, confidence=confidence,
            progress=lambda done, total: progress("models", done, total),
        )  # fmt: skip
        written = []
        for result, path in zip(segmentations(made) if segs else (), segs, strict=True):
            save(result, path, format="dicom-seg", force=force)
            written.append(written_seg(path, result))
        if create_sr is not None:
            write_sr(made, create_sr, segs=written, force=force)
    deliver(
        lambda form: json_text("report", report_document(made, title)) if form == "json" else as_markdown(made, title),
        kind, output, as_json=as_json, force=force,
    )  # fmt: skip


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("report")(report)
