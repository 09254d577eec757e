"""``gpukit ai batch``: a model over many cases."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.channel_options import named_channels
from gpukit_cli.commands.ai.options import Models, Precision, Runtime, Trust, chosen_models, weight_list
from gpukit_cli.commands.profile_option import Wanted, show
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text, table
from gpukit_cli.params import Device, FillGaps, Force, Json, MaxGap, SkipDamaged, gaps_of
from gpukit_cli.progress import Progress

__all__ = ["register"]

Task = Literal["segment", "classify", "detect", "enhance", "report"]


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
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")
    ] = None,
    models: Models = None,
    task: Annotated[Task | None, typer.Option("--task", help="[default: what the model is made for]")] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help="segment: dicom-seg, dicom-seg-labelmap, nifti, json; classify: json, csv; detect: json, gsps, sr; "
            "enhance: dicom, nifti, metaimage, nrrd; report: json, markdown, sr [default: the first]",
        ),
    ] = None,
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="NAME=WHICH",
            help="Segment: which image of each case is a channel: a file *_t1.nii.gz or a folder t1/, where * names "
            "the case, or a series by its number, UID or description.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes [default: one a GPU, or this one alone]"),
    ] = None,
    cluster: Annotated[
        str | None, typer.Option("--cluster", metavar="ADDRESS", help="Work on a Ray cluster: auto or ray://HOST:PORT.")
    ] = None,
    keep_failures: Annotated[
        bool, typer.Option("--keep-failures", help="Do not try again what failed in an earlier run.")
    ] = False,
    overlay: Annotated[bool, typer.Option("--overlay", help="Also draw labels or boxes over the image.")] = False,
    ensemble: Annotated[
        Literal["average", "weighted", "max", "vote", "staple"] | None,
        typer.Option("--ensemble", help="How several models become one [default: average]"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="LIST", help="Of the models, for --ensemble weighted or vote.")
    ] = None,
    flips: Annotated[
        str | None, typer.Option("--flips", metavar="AXES", help="Also mirrored windows: letters x, y, z, or none.")
    ] = None,
    labels: Annotated[
        str | None, typer.Option("--labels", metavar="LIST", help="Segment: keep only these labels.")
    ] = None,
    phase: Annotated[
        int | None, typer.Option("--phase", metavar="N", min=0, help="Which phase of 4D images, from 0.")
    ] = None,
    window_overlap: Annotated[
        float | None, typer.Option("--window-overlap", metavar="SHARE", min=0.0, max=0.95, help="Segment: of windows.")
    ] = None,
    per: Annotated[
        Literal["frame", "series"] | None, typer.Option("--per", help="Classify: one answer a frame, or a series.")
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Classify: only the N most probable classes.")
    ] = None,
    threshold: Annotated[
        float | None, typer.Option("--threshold", min=0.0, max=1.0, help="Classify: what counts as found.")
    ] = None,
    confidence: Annotated[
        float | None, typer.Option("--confidence", min=0.0, max=1.0, help="Detect, report: least score.")
    ] = None,
    iou: Annotated[
        float | None, typer.Option("--iou", min=0.0, max=1.0, help="Detect: overlap that drops the weaker box.")
    ] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", metavar="N", min=1, help="Pictures or windows run together.")
    ] = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    trust: Trust = False,
    profile: Wanted = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Run a model over many cases: reading, inference and writing overlap, and a run that was ended goes on.

    Each case is a row of FOLDER/manifest.jsonl, written when its results are in place; a failure is a row too, and the
    exit code is then 1.
    """
    from gpukit.ai.batch.run import batch as run

    chosen = chosen_models(model, models, trust=trust, runtime=runtime)
    named = [model] if model is not None else [word.strip() for word in str(models).split(",")]
    kind = task or (chosen[0].task if len({one.task for one in chosen}) == 1 else "report")
    # what is said by default is not part of the job, so that Python continues what the command began
    exact = None if precision == "auto" else precision
    given: dict[str, Any] = {
        "runtime": runtime, "precision": exact, "ensemble": ensemble, "weights": weight_list(weights),
        "labels": None if labels is None else labels.split(","), "overlap": window_overlap, "per": per, "top": top,
        "threshold": threshold, "phase": phase, "confidence": confidence, "iou": iou, "batch": batch_size,
        "flips": _flips(flips, kind),
    }  # fmt: skip
    with Progress() as progress:
        made = run(
            inputs, [str(name) for name in named], output, task=kind, format=form, overlay=overlay,
            channels=named_channels(channel or ()),
            options={name: value for name, value in given.items() if value is not None},
            fill_gaps=gaps_of(fill_gaps, max_gap), skip_damaged=skip_damaged, trust=trust, profile=profile,
            device=device, workers=workers, cluster=cluster,
            keep_failures=keep_failures, force=force, progress=lambda done, total: progress("cases", done, total),
        )  # fmt: skip
    if made.aside:
        more = "s" if len(made.aside) > 1 else ""
        warn(f"{len(made.aside)} image{more} that no --channel names, such as {made.aside[0]}")
    if profile:
        spent: dict[str, float] = {}
        for row in made.rows:
            for name, seconds in row.get("stages", {}).items():
                spent[name] = spent.get(name, 0.0) + seconds
        if spent:
            show(spent, sum(spent.values()))
    if as_json:
        counts = {"cases": len(made.rows), "done": made.done, "failed": len(made.failed), "done_before": made.before}
        emit(json_text("batch", {"folder": str(made.folder), **counts, "rows": made.rows}))
    else:
        shown = [
            (row["case"], row["status"], row["error"] if row["status"] == "failed" else " ".join(row["outputs"]))
            for row in made.rows
        ]
        emit(table(("CASE", "STATUS", "RESULT"), shown))
        emit(f"{made.done} of {len(made.rows)} done, {made.before} of them before; see {made.folder}/summary.csv\n")
    if made.failed:
        raise typer.Exit(1)


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
