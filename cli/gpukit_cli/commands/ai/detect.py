"""``gpukit ai detect``: boxes around findings."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.options import Ending, Running, Trust, check_targets, deliver, find, format_by_name
from gpukit_cli.commands.profile_option import profiled
from gpukit_cli.commands.series_options import Reading
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, table
from gpukit_cli.params import Inputs
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model
    from gpukit.ai.tasks.detect import Detections
    from gpukit.volume import Volume

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {
    "json": (".json",),
    "csv": (".csv",),
    "text": (".txt",),
    "gsps": (".dcm",),
    "sr": (".dcm",),
}


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help=".json, .csv, .txt, or .dcm with --format gsps or sr."),
    ] = None
    form: Annotated[
        Literal["json", "csv", "text", "gsps", "sr"] | None,
        typer.Option("--format", help="[default: by the output's suffix]"),
    ] = None
    render_overlay: Annotated[
        Path | None, typer.Option("--render-overlay", metavar="PNG", help="Also draw the boxes over the image.")
    ] = None
    create_sr: Annotated[
        Path | None, typer.Option("--create-sr", metavar="FILE", help="Also write the boxes as a DICOM SR.")
    ] = None

    def check(self, ending: Ending) -> str:
        """Return the format of the output; a combination that has no meaning is a usage error."""
        if self.render_overlay is not None and self.render_overlay.suffix.lower() != ".png":
            raise typer.BadParameter(f"--render-overlay is a PNG picture: {self.render_overlay} must end in .png")
        kind = format_by_name(self.output, self.form, _SUFFIXES, as_json=ending.as_json)
        if kind in ("gsps", "sr") and (self.output is None or str(self.output) == "-"):
            raise typer.BadParameter(f"--format {kind} needs an --output FILE")
        for name, path in (("--create-sr", self.create_sr), ("--render-overlay", self.render_overlay)):
            if path is not None and str(path) == "-":
                raise typer.BadParameter(f"{name} needs a FILE")
        check_targets(self.output, self.render_overlay, self.create_sr, force=ending.force)
        return kind


@dataclass(frozen=True)
class Limits(Running):
    """Which boxes count, and how the network runs."""

    trust: Trust = False

    confidence: Annotated[
        float | None,
        typer.Option(
            "--confidence", metavar="SCORE", min=0.0, max=1.0,
            help="Minimum score of a box [default: the model's].",
        ),
    ] = None  # fmt: skip
    iou: Annotated[
        float | None,
        typer.Option(
            "--iou", metavar="SHARE", min=0.0, max=1.0, help="Overlap of boxes of a class that drops the weaker."
        ),
    ] = None
    batch_size: Annotated[
        int | None,
        typer.Option(
            "--batch-size",
            metavar="N",
            min=1,
            help="Pictures or windows run together [default: the model's, else 8 or 1]",
        ),
    ] = None


@with_groups
def detect(
    inputs: Inputs,
    model: Annotated[str, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")],
    results: Results,
    limits: Limits,
    reading: Reading,
    ending: Ending,
) -> None:
    """Find things in pictures, series or volumes: boxes with class and score, in pixels and in the patient."""
    from gpukit.ai.tasks.detect import detect as run
    from gpukit.errors import InputError

    kind = results.check(ending)
    description = find(model, trust=limits.trust, runtime=limits.runtime).for_task("detect")
    with Progress() as progress, profiled(ending.profile) as profile:
        volume = reading.open(inputs, progress)
        if (results.create_sr is not None or kind in ("gsps", "sr")) and not volume.sources:
            raise InputError(
                "a DICOM SR or GSPS must refer to DICOM images, and the input is none", file=inputs[0],
                fix="write JSON or CSV instead",
            )  # fmt: skip
        detections = run(
            volume, description, runtime=limits.runtime, precision=limits.precision, confidence=limits.confidence,
            iou=limits.iou, batch=limits.batch_size,
            progress=lambda done, total: progress("inference", done, total),
        )  # fmt: skip
        for note in detections.notes:
            warn(note)
        _write(detections, volume, description, kind, results, force=ending.force)
    content = None if profile is None else profile.content()
    if kind in ("gsps", "sr"):
        emit(
            _text("json", detections, str(inputs[0]), content) if ending.as_json else f"{results.output}\n",
            summary=True,
        )
        return
    deliver(
        lambda form: _text(form, detections, str(inputs[0]), content), kind, results.output,
        as_json=ending.as_json, force=ending.force,
    )  # fmt: skip


def _write(detections: Detections, volume: Volume, model: Model, kind: str, results: Results, *, force: bool) -> None:
    """Write the objects; what may be impossible comes first, so that a refusal leaves nothing behind."""
    from gpukit.ai.results.detection_overlay import draw_boxes
    from gpukit.ai.results.write import write_detections
    from gpukit.profiling import stage

    with stage("writing"):
        if results.create_sr is not None:
            write_detections(detections, results.create_sr, "sr", force=force)
        if kind in ("gsps", "sr") and results.output is not None:
            write_detections(detections, results.output, kind, force=force)
        if results.render_overlay is not None:
            plane = model.picture_input.plane if model.dimensions == 2 else "stored"
            draw_boxes(volume, detections, results.render_overlay, plane=plane, force=force)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("detect")(detect)


def _text(kind: str, detections: Detections, name: str, profile: dict[str, Any] | None) -> str:
    from gpukit.ai.results.write import detection_rows, detections_csv, detections_json
    from gpukit.files.provenance import made_by

    if kind == "json":
        return detections_json(detections, name, profile)
    if kind == "csv":
        return detections_csv(detections, name)
    columns, rows = detection_rows(detections, name)
    return f"{table([column.upper() for column in columns], rows)}Model: {made_by(detections.model)}\n"
