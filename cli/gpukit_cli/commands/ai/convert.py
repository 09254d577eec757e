"""``gpukit ai convert``: a network in another format, checked against the original."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import Trust, find
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Force, Json, numbers

if TYPE_CHECKING:
    from gpukit.ai.registry.compare import Conversion

__all__ = ["register"]


def convert(
    model: Annotated[str, typer.Argument(metavar="MODEL", help="As for `gpukit ai segment`, or a SavedModel folder.")],
    to: Annotated[Literal["onnx", "coreml", "openvino"], typer.Option("--to", help="The format.")],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="[default: the model's name with the format's suffix]"),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            "--size", metavar="X,Y[,Z]", help="Of the input that both are run on [default: the description's]"
        ),
    ] = None,
    description: Annotated[
        Path | None, typer.Option("--description", metavar="JSON", help="Of a SavedModel, which has none.")
    ] = None,
    add: Annotated[bool, typer.Option("--add", help="Also put the result into the store of models.")] = False,
    trust: Trust = False,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Write a model in another format, run both on random input, and print how far they differ.

    The description is written beside the result. Nothing is written where they differ by more than the tolerance.
    """
    target = output or _target(Path(model), to)
    sizes = None if size is None else tuple(int(n) for n in numbers(size))
    conversion = _run(model, to, target, sizes, description, trust=trust, force=force)
    for note in conversion.notes:
        warn(note)
    stored = _store(conversion, force=force) if add else None
    if as_json:
        content = {
            "weights": str(conversion.weights), "description": str(conversion.description),
            "difference": conversion.difference, "tolerance": conversion.tolerance, "compared": conversion.checked,
            "notes": list(conversion.notes), "stored": stored,
        }  # fmt: skip
        return emit(json_text("conversion", content), summary=True)
    limits = f"difference {conversion.difference:.1e} of the output's range, at most {conversion.tolerance:.0e}"
    text = f"{limits} is accepted\ncompared {conversion.checked}\n{conversion.weights}\n{conversion.description}\n"
    return emit(text + (f"{stored}\n" if stored else ""), summary=True)


def _target(model: Path, to: str) -> Path:
    """The model's name with the format's suffix, beside no description that is the original's."""
    from gpukit.ai.registry.convert import TARGETS

    stem = model.absolute().name if model.is_dir() else model.stem
    if Path(f"{stem}.json").exists():  # the original's description, most likely
        stem += f"-{to}"
    return Path(f"{stem}{TARGETS[to][0]}")


def _run(
    model: str,
    to: str,
    target: Path,
    size: tuple[int, ...] | None,
    description: Path | None,
    *,
    trust: bool,
    force: bool,
) -> Conversion:
    """Convert; a SavedModel goes through ONNX."""
    from gpukit.ai.registry.convert import convert as run
    from gpukit.ai.registry.convert import formats_before
    from gpukit.ai.registry.savedmodel import convert_saved_model, is_saved_model

    folder = Path(model)
    if not is_saved_model(folder):
        if description is not None:
            raise typer.BadParameter("--description is for a SavedModel; others have theirs beside them")
        return run(find(model, trust=trust, formats=formats_before(to)), to, target, size=size, force=force)
    if to == "onnx":
        return convert_saved_model(folder, target, description=description, size=size, trust=trust, force=force)
    with TemporaryDirectory(prefix="gpukit-") as scratch:
        graph = Path(scratch) / "graph.onnx"
        convert_saved_model(folder, graph, description=description, size=size, trust=trust)
        return run(find(str(graph)), to, target, size=size, force=force)


def _store(conversion: Conversion, *, force: bool) -> str:
    """Put the result into the store of models; return its name there."""
    from gpukit.ai.registry.packages import add
    from gpukit.ai.registry.store import Store
    from gpukit.errors import OutputExistsError

    try:
        return add(Store(), str(conversion.weights), force=force).id
    except OutputExistsError as error:
        weights = conversion.weights
        raise OutputExistsError(
            error.what, fix=f"{weights} is written; `gpukit ai models add {weights} --force` replaces it"
        ) from error


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("convert")(convert)
