"""``gpukit ai convert``: a network in another format, checked against the original."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Literal

import typer

from gpukit_cli.commands.ai.options import Trust, find
from gpukit_cli.failures import warn
from gpukit_cli.output import emit, json_text
from gpukit_cli.params import Force, Json, numbers

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
    from gpukit.ai.registry.convert import TARGETS, formats_before
    from gpukit.ai.registry.convert import convert as run
    from gpukit.ai.registry.savedmodel import convert_saved_model, is_saved_model

    wanted = None if size is None else tuple(int(n) for n in numbers(size))
    folder = Path(model)
    stem = folder.absolute().name if folder.is_dir() else folder.stem
    if Path(f"{stem}.json").exists():  # the original's description, most likely
        stem += f"-{to}"
    target = output or Path(f"{stem}{TARGETS[to][0]}")
    if is_saved_model(folder) and to == "onnx":
        done = convert_saved_model(folder, target, description=description, size=wanted, trust=trust, force=force)
    elif is_saved_model(folder):
        with TemporaryDirectory(prefix="gpukit-") as scratch:
            graph = Path(scratch) / "graph.onnx"
            convert_saved_model(folder, graph, description=description, size=wanted, trust=trust)
            done = run(find(str(graph)), to, target, size=wanted, force=force)
    else:
        if description is not None:
            raise typer.BadParameter("--description is for a SavedModel; others have theirs beside them")
        done = run(find(model, trust=trust, formats=formats_before(to)), to, target, size=wanted, force=force)
    for note in done.notes:
        warn(note)
    stored = None
    if add:
        from gpukit.ai.registry.packages import add as bring
        from gpukit.ai.registry.store import Store
        from gpukit.errors import OutputExistsError

        try:
            stored = bring(Store(), str(done.weights), force=force).id
        except OutputExistsError as error:
            raise OutputExistsError(
                error.what, fix=f"{done.weights} is written; `gpukit ai models add {done.weights} --force` replaces it"
            ) from error
    if as_json:
        content = {
            "weights": str(done.weights), "description": str(done.description), "difference": done.difference,
            "tolerance": done.tolerance, "compared": done.checked, "notes": list(done.notes), "stored": stored,
        }  # fmt: skip
        return emit(json_text("conversion", content), summary=True)
    text = f"difference {done.difference:.1e} of the output's range, at most {done.tolerance:.0e} is accepted\n"
    text += f"compared {done.checked}\n{done.weights}\n{done.description}\n"
    return emit(text + (f"{stored}\n" if stored else ""), summary=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    app.command("convert")(convert)
