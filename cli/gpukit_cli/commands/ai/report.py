"""``gpukit ai report``: findings of one or several models as a document."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import (
    Models,
    Running,
    Trust,
    check_targets,
    chosen_models,
    deliver,
    format_by_name,
)
from gpukit_cli.commands.series_options import Reading
from gpukit_cli.groups import with_groups
from gpukit_cli.params import Force, Inputs, Json
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.tasks.report import Report

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"json": (".json",), "markdown": (".md",), "text": (".txt",)}


@dataclass(frozen=True)
class Networks(Running):
    """Which networks state what they find, and how they run."""

    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="A model that classifies, detects or segments.")
    ] = None
    models: Models = None
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0.0, max=1.0, help="Minimum score of detections.")
    ] = None
    trust: Trust = False


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".json, .md or .txt [default: print text]")
    ] = None
    form: Annotated[
        Literal["json", "markdown", "text"] | None, typer.Option("--format", help="[default: by the output's suffix]")
    ] = None
    create_sr: Annotated[
        Path | None, typer.Option("--create-sr", metavar="FILE", help="Also write the findings as a DICOM SR.")
    ] = None
    create_seg: Annotated[
        list[Path] | None,
        typer.Option(
            "--create-seg",
            metavar="FILE",
            help="Also write the labels of a model that segments as DICOM SEG, to whose segments the SR then refers; "
            "once for each such model.",
        ),
    ] = None
    title: Annotated[str, typer.Option("--title", metavar="TEXT", help="Heading of the document.")] = "Findings"
    force: Force = False
    as_json: Json = False

    @property
    def segs(self) -> list[Path]:
        """Files of the DICOM SEG."""
        return self.create_seg or []

    def check(self) -> str:
        """Return the format of the output; a combination that has no meaning is a usage error."""
        kind = format_by_name(self.output, self.form, _SUFFIXES, as_json=self.as_json)
        if any(str(path) == "-" for path in (self.create_sr, *self.segs)):
            raise typer.BadParameter("--create-sr and --create-seg need a FILE")
        check_targets(self.output, self.create_sr, *self.segs, force=self.force)
        return kind


@with_groups
def report(inputs: Inputs, networks: Networks, results: Results, reading: Reading) -> None:
    """State what one or several models find in an image."""
    from gpukit.ai.results.report_documents import as_markdown
    from gpukit.ai.results.write import report_json
    from gpukit.ai.tasks.report import report as run
    from gpukit.errors import InputError

    kind = results.check()
    models = chosen_models(networks.model, networks.models, trust=networks.trust, runtime=networks.runtime)
    if networks.confidence is not None and all(model.task != "detect" for model in models):
        raise typer.BadParameter("--confidence is for models that detect, and none of these does")
    segmenting = sum(model.task == "segment" for model in models)
    if results.segs and len(results.segs) != segmenting:
        raise typer.BadParameter(f"--create-seg was given {len(results.segs)} times, and {segmenting} models segment")
    with Progress() as progress:
        volume = reading.open(inputs, progress)
        if (results.create_sr is not None or results.segs) and not volume.sources:
            raise InputError(
                "a DICOM SR or SEG must refer to DICOM images, and the input is none", file=inputs[0],
                fix="write JSON instead",
            )  # fmt: skip
        findings = run(
            volume, models, runtime=networks.runtime, precision=networks.precision, confidence=networks.confidence,
            progress=lambda done, total: progress("models", done, total),
        )  # fmt: skip
        _write_objects(findings, results)
    texts = {"json": report_json, "markdown": as_markdown, "text": as_markdown}
    deliver(
        lambda form: texts[form](findings, results.title), kind, results.output,
        as_json=results.as_json, force=results.force,
    )  # fmt: skip


def _write_objects(findings: Report, results: Results) -> None:
    """Write the DICOM SEG of each network that segments, and the SR that refers to them."""
    from gpukit.ai.results.report_documents import segmentations, write_sr
    from gpukit.ai.results.segment_report import written_seg
    from gpukit.io.save import save

    segs = []
    for segmentation, path in zip(segmentations(findings) if results.segs else (), results.segs, strict=True):
        save(segmentation, path, format="dicom-seg", force=results.force)
        segs.append(written_seg(path, segmentation))
    if results.create_sr is not None:
        write_sr(findings, results.create_sr, segs=segs, force=results.force)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("report")(report)
