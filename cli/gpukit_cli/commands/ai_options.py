"""Options that the commands of ``gpukit ai`` share, and what they mean."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.failures import warn
from gpukit_cli.params import numbers, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.dicom.read_each import Opened
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


def find(model: str, *, trust: bool = False, runtime: str | None = None, formats: Sequence[str] | None = None) -> Any:
    """The model's checked description; what is to be known of it is said now, before long work.

    Of a stored model that has several formats it is that of one which the runtime loads, or of one of `formats`.
    """
    from gpukit.ai import find_model
    from gpukit.ai.coreml import elsewhere, runs_here
    from gpukit.ai.runtimes import formats_of

    found = find_model(model, trust=trust, formats=formats or formats_of(runtime))
    if found.format == "coreml" and not runs_here():
        raise elsewhere(Path(model), found)
    for note in found.notes:
        warn(note)
    return found


def chosen_models(
    model: str | None, models: str | None, *, trust: bool = False, runtime: str | None = None
) -> list[Any]:
    """The models that ``--model`` or ``--models`` names."""
    if (model is None) == (models is None):
        raise typer.BadParameter("give --model MODEL, or --models with several")
    words = [model] if model is not None else [word.strip() for word in str(models).split(",")]
    if not all(words):
        raise typer.BadParameter("--model has no name" if models is None else f"--models {models} has an empty name")
    return [find(str(word), trust=trust, runtime=runtime) for word in words]


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


@contextmanager
def each_volume(
    inputs: Sequence[Path],
    *,
    device: str | None,
    series: str | None,
    fill_gaps: bool,
    skip_damaged: bool,
    progress: Progress,
    failures: list[dict[str, str]],
) -> Iterator[Iterator[tuple[str, Volume]]]:
    """Every series of the inputs (or the chosen one) with the name to show; one that cannot be read is a failure.

    The next ones are read in a thread, on a stream of their own, while the caller works on the one that it has.
    """
    import gpukit
    from gpukit.ahead import Ahead
    from gpukit.device import side_stream
    from gpukit.opening import file_reader, open_each

    source = source_of(inputs)
    shown = str(inputs[0]) if len(inputs) == 1 else f"{len(inputs)} inputs"
    if series is not None or (isinstance(source, str) and file_reader(source) is not None):
        volume = gpukit.open(
            source, device=device, series=series, fill_gaps=fill_gaps, skip_damaged=skip_damaged, progress=progress
        )
        for note in volume.notes:
            warn(note)
        yield iter([(shown, volume)])
        return

    def tell(stage: str, done: int, total: int) -> None:
        if stage == "headers":  # later stages would take turns with those of the network
            progress(stage, done, total)

    each = open_each(source, device=device, fill_gaps=fill_gaps, skip_damaged=skip_damaged, progress=tell)
    with Ahead(each, around=lambda: side_stream(device)) as opened:
        yield _named(opened, shown, progress, failures)


def _named(
    each: Iterable[Opened], shown: str, progress: Progress, failures: list[dict[str, str]]
) -> Iterator[tuple[str, Volume]]:
    for done, one in enumerate(each, 1):
        name = shown if one.count == 1 else f"{shown} series {one.series.number}"
        if one.count > 1:
            progress("series", done, one.count)
        if one.error is not None:
            if one.count == 1:
                raise one.error
            failures.append({"file": name, "error": str(one.error)})
            warn(str(one.error))
            continue
        assert one.volume is not None
        for note in one.volume.notes:
            warn(note)
        yield name, one.volume
        del one
