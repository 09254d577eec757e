"""``gpukit ai batch``: a model over many cases."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.channel_options import named_channels
from gpukit_cli.commands.ai.options import (
    Ending,
    Models,
    OneModel,
    Running,
    Trust,
    Weights,
    chosen_models,
    weight_list,
)
from gpukit_cli.commands.profile_option import show
from gpukit_cli.failures import report, warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.params import Device, FillGaps, MaxGap, SkipDamaged, gaps_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.batch.run import Batch

__all__ = ["register"]

Task = Literal["segment", "classify", "detect", "enhance", "report"]


@dataclass(frozen=True)
class Networks(Running):
    """Which networks, and how several become one."""

    model: OneModel = None
    models: Models = None
    task: Annotated[Task | None, typer.Option("--task", help="[default: what the model is made for]")] = None
    ensemble: Annotated[
        Literal["average", "weighted", "max", "vote", "staple"] | None,
        typer.Option("--ensemble", help="How several models become one [default: average]"),
    ] = None
    weights: Weights = None
    flips: Annotated[
        str | None, typer.Option("--flips", metavar="AXES", help="Also mirrored windows: letters x, y, z, or none.")
    ] = None
    trust: Trust = False


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="segment: dicom-seg, dicom-seg-labelmap, dicom-rtstruct, nifti, json; classify: json, csv; "
            "detect: json, gsps, sr; "
            "enhance: dicom, nifti, metaimage, nrrd; report: json, markdown, sr [default: the first]",
        ),
    ] = None
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw labels or boxes over the image.")] = False


@dataclass(frozen=True)
class Images:
    """How the images of a case are read."""

    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="NAME=WHICH",
            help="Segment: which image of each case is a channel: a file *_t1.nii.gz or a folder t1/, where * names "
            "the case, or a series by its number, UID or description.",
        ),
    ] = None
    phase: Annotated[
        int | None, typer.Option("--phase", metavar="N", min=0, help="Which phase of 4D images, from 0.")
    ] = None
    fill_gaps: FillGaps = False
    max_gap: MaxGap = None
    skip_damaged: SkipDamaged = False


@dataclass(frozen=True)
class TaskOptions:
    """Options of single tasks."""

    labels: Annotated[str | None, typer.Option("--labels", metavar="LIST", help="Segment: keep only these labels.")] = (
        None
    )
    window_overlap: Annotated[
        float | None, typer.Option("--window-overlap", metavar="SHARE", min=0.0, max=0.95, help="Segment: of windows.")
    ] = None
    per: Annotated[
        Literal["frame", "series"] | None, typer.Option("--per", help="Classify: one answer a frame, or a series.")
    ] = None
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Classify: only the N most probable classes.")
    ] = None
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, max=1.0, help="Classify: what counts as found.")
    ] = None
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0.0, max=1.0, help="Detect, report: minimum score.")
    ] = None
    iou: Annotated[
        float | None, typer.Option("--iou", min=0.0, max=1.0, help="Detect: overlap that drops the weaker box.")
    ] = None
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Pictures or windows run together.")
    ] = None


@dataclass(frozen=True)
class Machines:
    """Where the cases are worked on."""

    device: Device = None
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes [default: one a GPU, or this one alone]"),
    ] = None
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="ADDRESS", help="Work on a Ray cluster: auto or ray://HOST:PORT.")
    ] = None
    keep_failures: Annotated[
        bool, typer.Option("--keep-failures", help="Do not try again what failed in an earlier run.")
    ] = False


@with_groups
def batch(
    inputs: Annotated[
        list[str],
        typer.Argument(
            metavar="INPUT...",
            help="Folders, files, .txt lists, .csv tables, DICOMweb addresses, prefixes s3://, gs:// or azure://.",
            show_default=False,
        ),
    ],
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FOLDER", help="Of the results; one begun before is continued.")
    ],
    networks: Networks,
    results: Results,
    images: Images,
    options: TaskOptions,
    machines: Machines,
    ending: Ending,
) -> None:
    """Run a model over many cases: reading, inference and writing overlap, and a run that was ended goes on.

    Each case is a row of FOLDER/manifest.jsonl, written when its results are in place; a failure is a row too, and the
    exit code is then 1.
    """
    from gpukit.ai.batch.run import batch as run

    models = chosen_models(networks.model, networks.models, trust=networks.trust, runtime=networks.runtime)
    words = [networks.model] if networks.model is not None else str(networks.models).split(",")
    task = networks.task or (models[0].task if len({model.task for model in models}) == 1 else "report")
    with _leaving(), Progress() as progress:
        outcome = run(
            inputs, [str(word).strip() for word in words], output, task=task, format=results.form,
            overlay=results.overlay, channels=named_channels(images.channel or ()),
            options=_settings(networks, images, options, task),
            fill_gaps=gaps_of(images.fill_gaps, images.max_gap), skip_damaged=images.skip_damaged,
            trust=networks.trust, profile=ending.profile, device=machines.device, workers=machines.workers,
            cluster=machines.cluster, keep_failures=machines.keep_failures, force=ending.force,
            progress=lambda done, total: progress("cases", done, total),
        )  # fmt: skip
    _print(outcome, ending)
    if outcome.failed:
        raise typer.Exit(1)


def _settings(networks: Networks, images: Images, options: TaskOptions, task: str) -> dict[str, Any]:
    """What was said on the command line. Defaults are not part of the job, so that Python continues what it began."""
    every: dict[str, Any] = {
        "runtime": networks.runtime, "precision": None if networks.precision == "auto" else networks.precision,
        "ensemble": networks.ensemble, "weights": weight_list(networks.weights),
        "labels": None if options.labels is None else options.labels.split(","), "overlap": options.window_overlap,
        "per": options.per, "top": options.top, "threshold": options.threshold, "phase": images.phase,
        "confidence": options.confidence, "iou": options.iou, "batch": options.batch_size,
        "flips": _flips(networks.flips, task),
    }  # fmt: skip
    return {name: value for name, value in every.items() if value is not None}


def _print(outcome: Batch, ending: Ending) -> None:
    """Rows of the cases, as a table or as JSON, and the seconds of each stage."""
    for note in outcome.notes:
        warn(note)
    if outcome.aside:
        more = "s" if len(outcome.aside) > 1 else ""
        warn(f"{len(outcome.aside)} image{more} that no --channel names, such as {outcome.aside[0]}")
    if ending.profile:
        seconds: dict[str, float] = {}
        for row in outcome.rows:
            for name, value in row.get("stages", {}).items():
                seconds[name] = seconds.get(name, 0.0) + value
        if seconds:
            show(seconds, sum(seconds.values()))
    if ending.as_json:
        counts = {
            "cases": len(outcome.rows), "done": outcome.done, "failed": len(outcome.failed),
            "done_before": outcome.before,
        }  # fmt: skip
        emit(json_text("batch", {"folder": str(outcome.folder), **counts, "rows": outcome.rows}), summary=True)
        return
    lines = [
        (row["case"], row["status"], row["error"] if row["status"] == "failed" else " ".join(row["outputs"]))
        for row in outcome.rows
    ]
    emit(table(("CASE", "STATUS", "RESULT"), lines), summary=True)
    emit(
        f"{outcome.done} of {len(outcome.rows)} done, {outcome.before} of them before; "
        f"see {outcome.folder}/summary.csv\n",
        summary=True,
    )


@contextmanager
def _leaving() -> Iterator[None]:
    """End the process at once where a thread is still within a library after Ctrl-C."""
    from gpukit.ai.batch.pipeline import threads_left

    try:
        yield
    except BaseException as error:
        if not threads_left():
            raise
        code = report(error, debug=False)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(code)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("batch")(batch)


def _flips(text: str | None, task: str) -> str | bool | None:
    """Axes of windows, none by that word; a classifier's pictures are mirrored left to right only."""
    if text == "none":
        return False if task == "classify" else ""
    if text is None or task != "classify":
        return text
    if text != "x":
        raise typer.BadParameter(f"a classifier's pictures are mirrored along x only, not {text!r}")
    return True
