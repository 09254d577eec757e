"""Options that the commands of ``gpukit ai`` share, and what they mean."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.failures import warn
from gpukit_cli.params import numbers, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.volume import Volume

__all__ = [
    "Models",
    "Precision",
    "Runtime",
    "Trust",
    "chosen_models",
    "each_volume",
    "find",
    "format_by_name",
    "weight_list",
]

Models = Annotated[
    str | None, typer.Option("--models", metavar="LIST", help="Several models with commas between: an ensemble.")
]
Runtime = Annotated[
    str | None,
    typer.Option("--runtime", metavar="NAME", help="pytorch, onnx, openvino ... [default: what runs the model]"),
]
Precision = Annotated[
    Literal["auto", "float32", "float16", "bfloat16"],
    typer.Option("--precision", help="Of the network; auto is float16 where the device gains by it."),
]


Trust = Annotated[
    bool,
    typer.Option(
        "--trust",
        help="Run the expressions of a MONAI bundle, or a SavedModel that runs Python or reads files. They are code: "
        "only where you know its origin.",
    ),
]


def find(model: str, *, trust: bool = False) -> Any:
    """The model's checked description; what is to be known of it is said now, before long work."""
    from gpukit.ai import find_model
    from gpukit.ai.coreml import elsewhere, runs_here

    found = find_model(model, trust=trust)
    if found.format == "coreml" and not runs_here():
        raise elsewhere(Path(model), found)
    for note in found.notes:
        warn(note)
    return found


def chosen_models(model: str | None, models: str | None, *, trust: bool = False) -> list[Any]:
    """The models that ``--model`` or ``--models`` names."""
    if (model is None) == (models is None):
        raise typer.BadParameter("give --model MODEL, or --models with several")
    words = [model] if model is not None else [word.strip() for word in str(models).split(",")]
    if not all(words):
        raise typer.BadParameter(f"--models {models} has an empty name")
    return [find(str(word), trust=trust) for word in words]


def weight_list(text: str | None) -> tuple[float, ...] | None:
    """Numbers with commas between."""
    return None if text is None else numbers(text)


def format_by_name(
    output: Path | None, form: str | None, suffixes: dict[str, tuple[str, ...]], *, as_json: bool = False
) -> str:
    """The format that was named, else the one of the suffix, else text; a contradiction is a usage error."""
    if as_json:
        if form not in (None, "json"):
            raise typer.BadParameter(f"--json and --format {form} contradict each other")
        form = "json"
    if form is not None:
        return form
    if output is None or str(output) == "-":
        return "text"
    name = output.name.lower()
    found = next((kind for kind, ends in suffixes.items() if name.endswith(ends)), None)
    if found is None:
        known = ", ".join(end for ends in suffixes.values() for end in ends)
        raise typer.BadParameter(f"{output} has none of the suffixes {known}: say --format")
    return found


def each_volume(
    inputs: Sequence[Path],
    *,
    device: str | None,
    series: str | None,
    fill_gaps: bool,
    skip_damaged: bool,
    progress: Progress,
    failures: list[dict[str, str]],
) -> Iterator[tuple[str, Volume]]:
    """Every series of the inputs (or the chosen one) with the name to show; one that cannot be read is a failure."""
    import gpukit
    from gpukit.errors import GpukitError, InputNotFoundError
    from gpukit.opening import file_reader

    source = source_of(inputs)
    shown = str(inputs[0]) if len(inputs) == 1 else f"{len(inputs)} inputs"
    single = isinstance(source, str) and file_reader(source) is not None
    wanted: list[str | int | None] = [series]
    if series is None and not single:
        found = gpukit.find_series(source)
        if not found:
            raise InputNotFoundError("holds no image", file=inputs[0])
        wanted = [one.number for one in found] if len(found) > 1 else [None]
    for which in wanted:
        try:
            volume = gpukit.open(
                source, device=device, series=which, fill_gaps=fill_gaps, skip_damaged=skip_damaged, progress=progress
            )
        except GpukitError as error:
            if len(wanted) == 1:
                raise
            failures.append({"file": f"{shown} series {which}", "error": str(error)})
            warn(str(error))
            continue
        for note in volume.notes:
            warn(note)
        yield (shown if len(wanted) == 1 else f"{shown} series {which}"), volume
