"""``gpukit ai classify``: what a picture shows, in probabilities."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.ai.options import (
    Ending,
    Models,
    OneModel,
    Running,
    Trust,
    Weights,
    check_ensemble,
    check_targets,
    chosen_models,
    deliver,
    each_volume,
    format_by_name,
    weight_list,
)
from gpukit_cli.commands.profile_option import profiled
from gpukit_cli.commands.series_options import Reading
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups
from gpukit_cli.output import table
from gpukit_cli.params import Inputs
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.model.description import Model
    from gpukit.ai.tasks.classify import Classification
    from gpukit.errors import GpukitError
    from gpukit.volume import Volume

__all__ = ["register"]

_SUFFIXES: dict[str, tuple[str, ...]] = {"json": (".json",), "csv": (".csv",), "text": (".txt",)}


@dataclass(frozen=True)
class Networks:
    """Which networks, and how several become one."""

    model: OneModel = None
    models: Models = None
    ensemble: Annotated[
        Literal["average", "weighted", "vote", "max"] | None,
        typer.Option("--ensemble", help="How several models become one answer [default: average]"),
    ] = None
    weights: Weights = None
    trust: Trust = False

    def settings(self, models: Sequence[Model]) -> dict[str, Any]:
        """How the networks become one; a combination that has no meaning is a usage error."""
        shares = weight_list(self.weights)
        return {"ensemble": check_ensemble(models, self.ensemble, shares, ("weighted", "vote")), "weights": shares}


@dataclass(frozen=True)
class Results:
    """What is written, and in which format."""

    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help=".json, .csv or .txt [default: print text]")
    ] = None
    form: Annotated[
        Literal["json", "csv", "text"] | None, typer.Option("--format", help="[default: by the output's suffix]")
    ] = None


@dataclass(frozen=True)
class Answers(Running):
    """How pictures are classified."""

    per: Annotated[
        Literal["frame", "series"] | None,
        typer.Option(
            "--per", help="Of models for pictures: one answer a frame, or the mean of a series [default: frame]"
        ),
    ] = None
    top: Annotated[int | None, typer.Option("--top", metavar="N", min=1, help="Only the N most probable classes.")] = (
        None
    )
    threshold: Annotated[
        float | None,
        typer.Option("--threshold", min=0.0, max=1.0, help="For classes on their own: what counts as found."),
    ] = None
    flips: Annotated[bool, typer.Option("--flips", help="Also look at each picture mirrored, and average.")] = False
    batch_size: Annotated[
        int | None,
        typer.Option("--batch-size", metavar="N", min=1, help="Pictures run together [default: the model's, else 16]"),
    ] = None


@with_groups
def classify(
    inputs: Inputs, networks: Networks, results: Results, answers: Answers, reading: Reading, ending: Ending
) -> None:
    """Classify pictures, series or volumes; several series are done one after the other.

    What cannot be read or classified is a row of its own, and the exit code is then 1.
    """
    kind = format_by_name(results.output, results.form, _SUFFIXES, as_json=ending.as_json)
    check_targets(results.output, force=ending.force)
    models = [
        model.for_task("classify")
        for model in chosen_models(networks.model, networks.models, trust=networks.trust, runtime=answers.runtime)
    ]
    settings = networks.settings(models)
    failures: list[dict[str, str]] = []
    with Progress() as progress, profiled(ending.profile) as profile:
        rows = _run(inputs, models, settings, answers, reading, failures, progress)
    for note in dict.fromkeys(note for _, answer in rows for note in answer.notes):
        warn(note)
    content = None if profile is None else profile.content()
    deliver(
        lambda form: _text(form, rows, failures, content), kind, results.output,
        as_json=ending.as_json, force=ending.force,
    )  # fmt: skip
    if failures:
        raise typer.Exit(1)


def _run(
    inputs: list[Path],
    models: list[Model],
    settings: dict[str, Any],
    answers: Answers,
    reading: Reading,
    failures: list[dict[str, str]],
    progress: Progress,
) -> list[tuple[str, Classification]]:
    """Classify every image; those that cannot be classified are added to `failures`."""
    from gpukit.ai.tasks.classify import classify_each, keep_top

    apart = answers.per != "series" and all(
        model.dimensions == 2 and not model.picture_input.neighbours for model in models
    )
    rows: list[tuple[str, Classification]] = []
    names: list[str] = []
    refused: list[tuple[str, GpukitError]] = []
    opening = each_volume(
        inputs, reading=reading, apart=apart and all(model.picture_input.plane == "stored" for model in models),
        progress=progress, failures=failures,
    )  # fmt: skip
    with opening as opened:
        each = classify_each(
            _fitting(opened, models, names, refused), models, runtime=answers.runtime, precision=answers.precision,
            per=answers.per, batch=answers.batch_size, flips=answers.flips, threshold=answers.threshold, **settings,
            progress=lambda done, total: progress("inference", done, total) if len(names) == 1 else None,
        )  # fmt: skip
        for number, image in enumerate(each):
            kept = image if answers.top is None else keep_top(image, answers.top)
            rows += [(names[number], answer) for answer in kept]
    if refused and not rows and len({str(reason) for _, reason in refused}) == 1:
        raise refused[0][1]  # what is wrong with all of them, said once
    for name, reason in refused:
        failures.append({"file": name, "error": str(reason)})
        warn(str(reason))
    return rows


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
    from gpukit.ai.results.documents import classification_entry
    from gpukit.ai.results.write import classification_csv, classification_json
    from gpukit.files.provenance import made_by

    if kind == "json":
        return classification_json(results, failures, profile)
    if kind == "csv":
        return classification_csv(results, failures)
    rows: list[tuple[Any, ...]] = []
    models: dict[str, None] = {}
    for name, answer in results:
        models |= {f"Model: {made_by(m)}\n": None for m in answer.models}
        entry = classification_entry(answer, name)
        where = (entry["file"], "" if answer.index is None else answer.index, entry["frame"] or "")
        rows += [(*where, p.name, f"{p.probability:.4f}", "yes" if p.found else "") for p in answer.predictions]
    return "".join((table(("FILE", "SLICE", "FRAME", "CLASS", "PROBABILITY", "FOUND"), rows), *models))
