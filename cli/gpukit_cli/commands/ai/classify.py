"""``gpukit ai classify``: what a picture shows, in probabilities."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.options import (
    Models,
    Precision,
    Runtime,
    check_ensemble,
    check_targets,
    chosen_models,
    deliver,
    each_volume,
    format_by_name,
    weight_list,
)
from gpukit_cli.commands.profile_option import Wanted, profiled
from gpukit_cli.failures import warn
from gpukit_cli.output import csv_text, json_text, table
from gpukit_cli.params import Device, FillGaps, Force, Inputs, Json, MaxGap, Phase, Series, SkipDamaged, gaps_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model
    from gpukit.ai.tasks.classify import Classification
    from gpukit.errors import GpukitError
    from gpukit.volume import Volume

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"json": (".json",), "csv": (".csv",), "text": (".txt",)}


def classify(
    inputs: Inputs,
    model: Annotated[
        str | None, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")
    ] = None,
    models: Models = None,
    ensemble: Annotated[
        Literal["average", "weighted", "vote", "max"] | None,
        typer.Option("--ensemble", help="How several models become one answer [default: average]"),
    ] = None,
    weights: Annotated[
        str | None, typer.Option("--weights", metavar="LIST", help="Of the models, for --ensemble weighted or vote.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".json, .csv or .txt [default: print text]")
    ] = None,
    form: Annotated[
        Literal["json", "csv", "text"] | None, typer.Option("--format", help="[default: by the output's suffix]")
    ] = None,
    per: Annotated[
        Literal["frame", "series"] | None,
        typer.Option(
            "--per", help="Of models for pictures: one answer a frame, or the mean of a series [default: frame]"
        ),
    ] = None,
    top: Annotated[
        int | None, typer.Option("--top", metavar="N", min=1, help="Only the N most probable classes.")
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, max=1.0, help="For classes on their own: what counts as found."),
    ] = None,
    flips: Annotated[bool, typer.Option("--flips", help="Also look at each picture mirrored, and average.")] = False,
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="N", min=1, help="Pictures run together [default: the model's, else 16]"),
    ] = None,
    series: Series = None,
    phase: Phase = None,
    fill_gaps: FillGaps = False,
    max_gap: MaxGap = None,
    skip_damaged: SkipDamaged = False,
    device: Device = None,
    runtime: Runtime = None,
    precision: Precision = "auto",
    profile: Wanted = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Classify pictures, series or volumes; several series are done one after the other.

    What cannot be read or classified is a row of its own, and the exit code is then 1.
    """
    from gpukit.ai.tasks.classify import classify_each as run
    from gpukit.ai.tasks.classify import keep_top

    kind = format_by_name(output, form, _SUFFIXES, as_json=as_json)
    check_targets(output, force=force)
    chosen = [one.for_task("classify") for one in chosen_models(model, models, runtime=runtime)]
    shares = weight_list(weights)
    way = check_ensemble(chosen, ensemble, shares, ("weighted", "vote"))
    apart = per != "series" and all(one.dimensions == 2 and not one.picture_input.neighbours for one in chosen)
    results: list[tuple[str, Classification]] = []
    failures: list[dict[str, str]] = []
    names: list[str] = []
    refused: list[tuple[str, GpukitError]] = []
    with Progress() as progress, profiled(profile) as seen:
        reading = each_volume(
            inputs, device=device, series=series, phase=phase, fill_gaps=gaps_of(fill_gaps, max_gap),
            skip_damaged=skip_damaged, apart=apart and all(one.picture_input.plane == "stored" for one in chosen),
            progress=progress, failures=failures,
        )  # fmt: skip
        with reading as opened:
            each = run(
                _fitting(opened, chosen, names, refused), chosen, runtime=runtime, precision=precision, per=per,
                batch=batch_size, ensemble=way, weights=shares, flips=flips, threshold=threshold,
                progress=lambda done, total: progress("inference", done, total) if len(names) == 1 else None,
            )  # fmt: skip
            for number, found in enumerate(each):
                results += [(names[number], one) for one in (found if top is None else keep_top(found, top))]
    if refused and not results and len({str(reason) for _, reason in refused}) == 1:
        raise refused[0][1]  # what is wrong with all of them, said once
    for name, reason in refused:
        failures.append({"file": name, "error": str(reason)})
        warn(str(reason))
    for note in dict.fromkeys(note for _, one in results for note in one.notes):
        warn(note)
    measured = None if seen is None else seen.content()
    deliver(lambda form: _text(form, results, failures, measured), kind, output, as_json=as_json, force=force)
    if failures:
        raise typer.Exit(1)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("classify")(classify)


def _fitting(
    opened: Iterator[tuple[str, Volume]],
    models: list[Model],
    names: list[str],
    refused: list[tuple[str, GpukitError]],
) -> Iterator[Volume]:
    """The volumes that all models can see, and their names; the others are refused."""
    from gpukit.ai.tasks.classify import check_input
    from gpukit.errors import GpukitError

    for name, volume in opened:
        try:
            check_input(volume, models)
        except GpukitError as error:
            refused.append((name, error))
            continue
        names.append(name)
        yield volume
        del volume


def _text(
    kind: str,
    results: list[tuple[str, Classification]],
    failures: list[dict[str, str]],
    profile: dict[str, Any] | None,
) -> str:
    from gpukit.ai.results.documents import classification_document, classification_entry
    from gpukit.files.provenance import made_by

    if kind == "json":
        content = {**classification_document(results), "failures": failures}
        return json_text("classification", content if profile is None else {**content, "profile": profile})
    rows: list[tuple[Any, ...]] = []
    named: dict[str, None] = {}
    for name, one in results:
        model = tuple(" + ".join(m[key] for m in one.models) for key in ("name", "version", "digest"))
        named |= {f"Model: {made_by(m)}\n": None for m in one.models}
        entry = classification_entry(one, name)
        where = (entry["file"], "" if one.index is None else one.index, entry["frame"] or "")
        if kind == "csv":
            rows += [(*where, p.name, f"{p.probability:.6g}", int(p.found), "", *model) for p in one.predictions]
        else:
            rows += [(*where, p.name, f"{p.probability:.4f}", "yes" if p.found else "") for p in one.predictions]
    if kind == "csv":
        rows += [(f["file"], "", "", "", "", "", f["error"], "", "", "") for f in failures]
        columns = ("file", "slice", "frame", "class", "probability", "found", "error", "model", "version", "digest")
        return csv_text(columns, rows)
    return "".join((table(("FILE", "SLICE", "FRAME", "CLASS", "PROBABILITY", "FOUND"), rows), *named))
