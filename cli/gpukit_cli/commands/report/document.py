"""``gpukit report FILE...``: the document of one report, of several merged, or one of each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gpukit_cli.commands.report.options import Appearance, Content, Output, keywords
from gpukit_cli.failures import warn
from gpukit_cli.groups import with_groups

__all__ = ["register"]


@with_groups
def document(
    *,
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="REPORT...", help="DICOM SR files, folders, globs, a DICOMDIR or a zip.", show_default=False
        ),
    ],
    result: Output,
    content: Content,
    appearance: Appearance,
) -> None:
    """Write a structured report as a document: pdf, html, markdown, json, text.

    `gpukit report create` writes a structured report from measurements.
    """
    from gpukit.report.find import find_reports
    from gpukit.report.options import format_of
    from gpukit.report.run import options_of, write_each

    source = [str(path) for path in files]
    folder = result.output if result.output is not None and _is_folder(result.output) else None
    if content.image_dir and not content.embed_images:
        raise typer.BadParameter("--image-dir belongs to --embed-images")
    kind = format_of(None if folder else result.output, result.format)
    chosen = options_of(kind, **keywords(content, appearance, result.lang))
    if content.include_measurements and kind != "json":
        raise typer.BadParameter("--include-measurements belongs to --format json")
    locations = find_reports(source)
    if content.embed_images and not content.image_dir:
        from dataclasses import replace

        mixed = tuple(path for path in files if path.is_dir() or path.suffix.lower() == ".zip")
        if not mixed:
            raise typer.BadParameter("--embed-images needs the folder of the images: --image-dir DIR")
        chosen = replace(chosen, image_dirs=mixed)
    if result.strict:
        from gpukit.dicom.sr.content_tree import read_content_tree

        if _list_deviations([read_content_tree(location) for location in locations]):
            raise typer.Exit(1)
    if folder is not None:
        if content.merge:
            raise typer.BadParameter("--merge writes one document: name a file as --output")
        written, problems = write_each(locations, folder, chosen, force=result.force, workers=result.workers)
        for text in problems:
            sys.stderr.write(f"Error: {text}\n")
        if problems:
            warn(f"{len(written)} of {len(locations)} documents were written")
            raise typer.Exit(1)
        return
    _write_one(locations, result, chosen)


def _is_folder(path: Path) -> bool:
    return path.is_dir() or str(path).endswith(("/", "\\"))


def _list_deviations(trees: list[Any]) -> bool:
    from gpukit.report.words.safe_text import safe

    any_deviation = False
    for tree in trees:
        for path, attribute, what in tree.deviations:
            any_deviation = True
            where = f"item {path}: " if path else ""
            sys.stdout.write(f"{tree.file}: {where}{attribute} {safe(what)}\n".replace("\n", " ").rstrip() + "\n")
    sys.stdout.flush()
    return any_deviation


def _write_one(locations: list[Any], result: Output, chosen: Any) -> None:
    from gpukit.documents.atomic import atomic_path, check_output
    from gpukit.report.run import render

    to_stdout = result.output is None or str(result.output) == "-"
    if to_stdout and chosen.format in ("pdf", "dicom-pdf") and sys.stdout.isatty():
        raise typer.BadParameter(f"{chosen.format} is not text: name a file with --output")
    if not to_stdout:
        assert result.output is not None
        check_output(result.output, force=result.force)
    data = render(locations, chosen)
    if to_stdout:
        sys.stdout.flush()
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
        return
    assert result.output is not None
    with atomic_path(result.output, force=result.force) as temporary:
        temporary.write_bytes(data)


def register(app: typer.Typer) -> None:
    """Add the command to ``gpukit report``."""
    app.command("document")(document)
