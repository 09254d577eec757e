"""Options that the commands of ``gpukit ai`` share, and what they mean."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from gpukit_cli.commands.profile_option import Wanted
from gpukit_cli.failures import warn
from gpukit_cli.output import emit
from gpukit_cli.params import Force, Json, numbers, source_of
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.dicom.series.read_each import Opened
    from gpukit.volume import Volume
    from gpukit_cli.commands.series_options import Reading

__all__ = [
    "Ending",
    "OneModel",
    "Running",
    "Weights",
    "Models",
    "Precision",
    "Runtime",
    "Trust",
    "check_ensemble",
    "check_targets",
    "chosen_models",
    "deliver",
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

OneModel = Annotated[str | None, typer.Option("--model", "-m", metavar="MODEL", help="As for `gpukit ai segment`.")]
Weights = Annotated[
    str | None, typer.Option("--weights", metavar="LIST", help="Of the models, for --ensemble weighted or vote.")
]


@dataclass(frozen=True)
class Running:
    """How a network runs."""

    runtime: Runtime = None
    precision: Precision = "auto"


@dataclass(frozen=True)
class Ending:
    """What is printed, and what may be overwritten."""

    profile: Wanted = False
    force: Force = False
    as_json: Json = False


def find(model: str, *, trust: bool = False, runtime: str | None = None, formats: Sequence[str] | None = None) -> Any:
    """The model's checked description; what is to be known of it is said now, before long work.

    Of a stored model that has several formats it is that of one which the runtime loads, or of one of `formats`.
    """
    from gpukit.ai import find_model
    from gpukit.ai.model.coreml import elsewhere, runs_here
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


def check_ensemble(models: Sequence[Any], ensemble: str | None, weights: Any, weighted: tuple[str, ...]) -> str:
    """The way in which models are put together; usage errors for what has no effect with these."""
    if len(models) == 1 and (ensemble is not None or weights is not None):
        word = "--ensemble" if ensemble is not None else "--weights"
        raise typer.BadParameter(f"{word} is for several models: name them with --models A,B")
    way = ensemble or "average"
    if weights is not None and way not in weighted:
        raise typer.BadParameter(f"--weights is for --ensemble {' or '.join(weighted)}, and it is {way}")
    if weights is None and way == "weighted":
        raise typer.BadParameter("--ensemble weighted needs --weights, one a model")
    return way


def check_targets(*targets: Path | None, force: bool) -> None:
    """Each file that is to be written can be, and is another one; ``-`` and None are none."""
    from gpukit.documents.atomic import check_output

    named = [target for target in targets if target is not None and str(target) != "-"]
    for n, target in enumerate(named):
        if any(target.absolute() == other.absolute() for other in named[:n]):
            raise typer.BadParameter(f"{target} is named for two results")
    for target in named:
        check_output(target, force=force)


def format_by_name(
    output: Path | None, form: str | None, suffixes: dict[str, tuple[str, ...]], *, as_json: bool = False
) -> str:
    """The format of the output: that which was named, else that of the suffix, else text.

    With ``--json`` and no file it is JSON; with a file JSON is printed beside it. What contradicts is a usage error.
    """
    if output is None or str(output) == "-":
        if as_json and form not in (None, "json"):
            raise typer.BadParameter(f"--json and --format {form} contradict each other")
        return "json" if as_json else form or "text"
    name = output.name.lower()
    found = [kind for kind, ends in suffixes.items() if name.endswith(ends)]
    if form is not None:
        if found and form not in found:
            raise typer.BadParameter(f"--format {form} contradicts the name {output.name}")
        return form
    if len(found) > 1:
        raise typer.BadParameter(f"{output} may be {' or '.join(found)}: say --format")
    if not found:
        known = ", ".join(dict.fromkeys(end for ends in suffixes.values() for end in ends))
        raise typer.BadParameter(f"{output} has none of the suffixes {known}: say --format")
    return found[0]


def deliver(text: Callable[[str], str], kind: str, output: Path | None, *, as_json: bool, force: bool) -> None:
    """Write the result in its format where it is to go, and with ``--json`` print it as JSON too.

    `text` makes it, given a format.
    """
    here = output is None or str(output) == "-"
    emit(text(kind), output, force=force)
    if as_json and not here:
        emit(text("json"), summary=True)


#: Bytes of volumes that wait for the network, at most (one may be larger): some batches of radiographs.
_READ_AHEAD = 256 << 20


@contextmanager
def each_volume(
    inputs: Sequence[Path],
    *,
    reading: Reading,
    apart: bool,
    progress: Progress,
    failures: list[dict[str, str]],
) -> Iterator[Iterator[tuple[str, Volume]]]:
    """Every volume file and every series of the inputs (or the chosen one) with the name to show.

    One that cannot be read is a failure, unless it is the only one. With `apart` pictures stand on their own: a file
    that cannot be read is a failure of itself, and a series that is no volume is read file by file. The next ones are
    read in a thread, on a stream of their own, while the caller works on the one that it has.
    """
    import gpukit
    from gpukit.device import side_stream
    from gpukit.io.open import file_reader
    from gpukit.prefetch import Ahead

    files = [path for path in inputs if file_reader(str(path)) is not None]
    others = [path for path in inputs if path not in files]
    options: dict[str, Any] = {"device": reading.device, "phase": reading.phase}
    limits = {"fill_gaps": reading.gaps, "skip_damaged": reading.skip_damaged, "raw_scale": reading.raw_scale}
    only = {**options, "series": reading.series, **limits}
    if (others and reading.series is not None) or (len(files) == 1 and not others):
        source = source_of(others or files)
        volume = gpukit.open(source, **only, progress=progress)
        for note in volume.notes:
            warn(note)
        yield iter([(_shown(others or files), volume)])
        return

    def tell(stage: str, done: int, total: int) -> None:
        if stage == "headers":  # later stages would take turns with those of the network
            progress(stage, done, total)

    options |= {**limits, "apart": apart, "progress": tell}
    each = itertools.chain(_volumes(files, only), _series(others, options))
    with Ahead(each, depth=64, cost=_bytes, most=_READ_AHEAD, around=lambda: side_stream(reading.device)) as opened:
        yield _named(opened, len(files), _shown(others or files), progress, failures)


def _shown(paths: Sequence[Path]) -> str:
    return str(paths[0]) if len(paths) == 1 else f"{len(paths)} inputs"


def _volumes(files: Sequence[Path], options: dict[str, Any]) -> Iterator[Opened]:
    import gpukit
    from gpukit.dicom.series.read_each import Opened
    from gpukit.errors import GpukitError

    for path in files:
        try:
            yield Opened(None, 1, gpukit.open(str(path), **options), file=str(path))
        except GpukitError as error:
            yield Opened(None, 1, error=error, file=str(path))


def _series(inputs: Sequence[Path], options: dict[str, Any]) -> Iterator[Opened]:
    from gpukit.io.open import open_each

    if inputs:
        yield from open_each(source_of(inputs), **options)


def _bytes(opened: Opened) -> int:
    array: Any = None if opened.volume is None else opened.volume.array
    return 0 if array is None else int(array.nbytes)


def _named(
    each: Iterable[Opened], files: int, shown: str, progress: Progress, failures: list[dict[str, str]]
) -> Iterator[tuple[str, Volume]]:
    told: set[str] = set()
    for done, one in enumerate(each, 1):
        total = files + one.count
        name = one.file or (shown if one.count == 1 else f"{shown} series {one.series.number if one.series else ''}")
        if total > 1:
            progress("series", min(done, total), total)
        if one.why:
            warn(f"each file of it is a picture of its own, since the series is no volume: {one.why}")
        if one.error is not None:
            if total == 1 and not one.file:
                raise one.error
            failures.append({"file": name, "error": str(one.error)})
            warn(str(one.error))
            continue
        assert one.volume is not None
        for note in one.volume.notes:
            if note not in told:  # that of a hundred files is said once
                warn(note)
                told.add(note)
        yield name, one.volume
        del one
