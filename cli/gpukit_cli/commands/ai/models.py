"""``gpukit ai models``: the local store of models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from gpukit_cli.output import emit, json_text, table
from gpukit_cli.params import Force, Json
from gpukit_cli.progress import Progress

if TYPE_CHECKING:
    from gpukit.ai.registry.manifest import Entry

__all__ = ["register"]

app = typer.Typer(add_completion=False, rich_markup_mode=None, invoke_without_command=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="name, name@version or an alias.")]


@app.callback()
def models(
    context: typer.Context,
    as_json: Json = False,
) -> None:
    """The models that come with gpukit, and those in the local store (GPUKIT_MODELS names its folder)."""
    if context.invoked_subcommand is None:
        _list(as_json)


@app.command("list")
def list_(as_json: Json = False) -> None:
    """List them all, ready for `--model NAME`."""
    _list(as_json)


@app.command()
def add(
    source: Annotated[
        str, typer.Argument(metavar="SOURCE", help="File or folder, file://, https:// or hf://OWNER/REPOSITORY.")
    ],
    name: Annotated[str | None, typer.Option("--name", metavar="NAME", help="[default: the description's]")] = None,
    version: Annotated[str | None, typer.Option("--version", metavar="TEXT", help="[default: likewise]")] = None,
    description: Annotated[
        Path | None, typer.Option("--description", metavar="JSON", help="For weights that come without one.")
    ] = None,
    sha256: Annotated[
        str | None, typer.Option("--sha256", metavar="HEX", help="What the source file's digest must be.")
    ] = None,
    license_: Annotated[
        str | None, typer.Option("--license", metavar="TEXT", help="[default: the description's]")
    ] = None,
    tag: Annotated[list[str] | None, typer.Option("--tag", metavar="WORD", help="May be repeated.")] = None,
    alias: Annotated[str | None, typer.Option("--alias", metavar="NAME", help="Another name for it.")] = None,
    force: Force = False,
    as_json: Json = False,
) -> None:
    """Put a model into the store; another format of one that is there becomes a variant of it."""
    from gpukit.ai.registry.packages import add as bring
    from gpukit.ai.registry.store import Store

    with Progress() as progress:
        entry = bring(
            Store(), source, description=None if description is None else str(description), sha256=sha256, name=name,
            version=version, license=license_, tags=tag or (), alias=alias, force=force,
            progress=lambda done, total: progress("fetching", done, total),
        )  # fmt: skip
    emit(json_text("model", _facts(entry)) if as_json else f"{entry.id}\n", summary=True)


@app.command()
def show(name: Name, as_json: Json = False) -> None:
    """Show what is known of a model."""
    from gpukit.ai.registry.store import Store

    entry = Store().get(name)
    if as_json:
        return emit(json_text("model", _facts(entry)))
    rows: list[tuple[str, Any]] = [
        ("name", entry.id), ("task", entry.task), ("description", entry.description), ("license", entry.license),
        ("input", ", ".join(f"{key} {_plain(value)}" for key, value in entry.input.items() if value != [])),
        ("labels", ", ".join(str(x["name"]) for x in entry.labels)), ("tags", ", ".join(entry.tags)),
        ("source", entry.source), ("added", entry.added),
    ]  # fmt: skip
    for variant in entry.variants:
        rows += [(variant.format, f"{digest}  {file}") for file, digest in sorted(variant.files.items())]
    return emit("".join(f"{key:<14}{value}\n" for key, value in rows if value))


@app.command()
def remove(name: Name) -> None:
    """Take a model out of the store."""
    from gpukit.ai.registry.store import Store

    store = Store()
    entry = store.get(name)
    store.remove(entry)
    emit(f"{entry.id}\n", summary=True)


@app.command()
def verify(
    name: Annotated[str | None, typer.Argument(metavar="NAME", help="[default: all]")] = None, as_json: Json = False
) -> None:
    """Check every file against its digest; exit with 1 where one is damaged."""
    from gpukit.ai.registry.store import Store

    store = Store()
    entries = store.entries() if name is None else [store.get(name)]
    found = {entry.id: store.verify(entry) for entry in entries}
    if as_json:
        emit(json_text("verify", {"damaged": found}))
    else:
        emit("".join(f"{key}: {'; '.join(wrong) if wrong else 'ok'}\n" for key, wrong in found.items()))
    if any(found.values()):
        raise typer.Exit(1)


@app.command("export")
def export_(
    name: Name,
    output: Annotated[Path, typer.Option("--output", "-o", metavar="ZIP", help="The package.")],
    force: Force = False,
) -> None:
    """Write a model with all its formats as one file, to be imported elsewhere."""
    from gpukit.ai.registry.packages import export
    from gpukit.ai.registry.store import Store

    store = Store()
    emit(f"{export(store, store.get(name), output, force=force)}\n", summary=True)


@app.command("import")
def import_(
    package: Annotated[Path, typer.Argument(metavar="ZIP", help="Made by `gpukit ai models export`.")],
    force: Force = False,
) -> None:
    """Put an exported model into the store."""
    from gpukit.ai.registry.packages import import_package
    from gpukit.ai.registry.store import Store

    emit(f"{import_package(Store(), package, force=force).id}\n")


def _plain(value: Any) -> str:
    return (
        " x ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in value)
        if isinstance(value, list)
        else str(value)
    )


def register(parent: typer.Typer) -> None:
    """Add the commands of this module to ``gpukit ai``."""
    parent.add_typer(app, name="models")


def _list(as_json: bool) -> None:
    from gpukit.ai import find_model, sample_names
    from gpukit.ai.registry.store import Store

    store = Store()
    samples = [(name, find_model(name)) for name in sample_names()]
    aliases = store.aliases()
    if as_json:
        listed = [
            {
                "name": name, "version": model.version, "task": model.task, "description": model.description,
                "license": model.license, "modality": model.input.modality, "digest": model.digest, "stored": False,
                **_answer(model),
            }
            for name, model in samples
        ]  # fmt: skip
        listed += [{**_facts(entry), "stored": True} for entry in store.entries()]
        return emit(json_text("models", {"models": listed, "aliases": aliases}))
    rows = [
        (name, m.version, m.task, "/".join(m.input.modality) or "any", m.format, m.description) for name, m in samples
    ]
    rows += [
        (e.name, e.version, e.task, "/".join(e.input.get("modality", ())) or "any",
         ",".join(v.format for v in e.variants), e.description)
        for e in store.entries()
    ]  # fmt: skip
    text = table(("NAME", "VERSION", "TASK", "MODALITY", "FORMATS", "WHAT IT DOES"), rows)
    return emit(text + "".join(f"{alias} -> {target}\n" for alias, target in sorted(aliases.items())))


def _answer(model: Any) -> dict[str, Any]:
    if model.task == "segment":
        return {"labels": [{"value": label.value, "name": label.name} for label in model.output.labels]}
    return {"classes": [one.name for one in getattr(model.output, "classes", ())]}


def _facts(entry: Entry) -> dict[str, Any]:
    return {
        "name": entry.name, "version": entry.version, "task": entry.task, "description": entry.description,
        "license": entry.license, "labels": list(entry.labels), "input": dict(entry.input), "source": entry.source,
        "added": entry.added, "tags": list(entry.tags),
        "variants": [{"format": v.format, "files": dict(v.files)} for v in entry.variants],
    }  # fmt: skip
