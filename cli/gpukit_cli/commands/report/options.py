"""Options of ``gpukit report``, by what they are about."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from gpukit_cli.params import Force

__all__ = ["Appearance", "Content", "Output"]


@dataclass(frozen=True)
class Output:
    """Where the document goes, and as what."""

    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", metavar="FILE", help="The document; a folder for one each; - for standard output."
        ),
    ] = None
    format: Annotated[
        str | None,
        typer.Option(
            "--format", "-f", metavar="NAME",
            help="pdf, html, markdown, json, text or dicom-pdf [default: by the suffix of --output, else text].",
        ),
    ] = None  # fmt: skip
    force: Force = False
    lang: Annotated[
        str | None,
        typer.Option("--lang", metavar="LANG", help="en, es, fr or de [default: the report's own, else yours]."),
    ] = None
    strict: Annotated[
        bool, typer.Option("--strict", help="List where a report differs from the standard, and end with code 1.")
    ] = False
    workers: Annotated[
        int | None,
        typer.Option("--workers", metavar="N", min=1, help="Processes for many reports [default: one each processor]."),
    ] = None


@dataclass(frozen=True)
class Content:
    """What the document holds."""

    merge: Annotated[bool, typer.Option("--merge", help="One document of several reports of a study.")] = False
    allow_patients: Annotated[
        bool, typer.Option("--allow-patients", help="Let reports of several patients stand together.")
    ] = False
    compare: Annotated[
        list[Path] | None,
        typer.Option("--compare", metavar="PRIOR", help="Compare with a prior report; may be repeated, in any order."),
    ] = None
    include_measurements: Annotated[
        bool, typer.Option("--include-measurements", help="Put the list of measurements into JSON.")
    ] = False
    embed_images: Annotated[
        bool, typer.Option("--embed-images", help="Draw the images that the report refers to, with its regions.")
    ] = False
    image_dir: Annotated[
        list[Path] | None,
        typer.Option("--image-dir", metavar="DIR", help="Folder or zip with the images; may be repeated."),
    ] = None
    sections: Annotated[
        str | None,
        typer.Option(
            "--sections", metavar="LIST",
            help="Parts to show, between commas: patient, study, summary, comparison, context, report, key-images, "
            "images, document; or codes of sections such as DCM:121070.",
        ),
    ] = None  # fmt: skip
    include: Annotated[
        list[str] | None,
        typer.Option("--include", metavar="CODE", help="Show only this code or position (1.3), and what is below it."),
    ] = None
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", metavar="CODE", help="Leave out this code or position.")
    ] = None
    annotation: Annotated[
        str,
        typer.Option("--annotation", metavar="TEXT", help="Add words of yours, marked as added.", show_default=False),
    ] = ""
    raw_html: Annotated[bool, typer.Option("--raw-html", help="Show HTML inside a text as its source.")] = False


@dataclass(frozen=True)
class Appearance:
    """How the document looks."""

    template: Annotated[
        str,
        typer.Option(
            "--template", metavar="NAME",
            help="default, radiology, cardiology, oncology, dose, key-images, or one of your own.",
        ),
    ] = "default"  # fmt: skip
    template_dir: Annotated[
        list[Path] | None,
        typer.Option("--template-dir", metavar="DIR", help="Folder with templates of your own; may be repeated."),
    ] = None
    title: Annotated[
        str, typer.Option("--title", metavar="TEXT", help="Title of the document.", show_default=False)
    ] = ""
    institution: Annotated[
        str, typer.Option("--institution", metavar="TEXT", help="Name above the title.", show_default=False)
    ] = ""
    logo: Annotated[
        Path | None, typer.Option("--logo", metavar="FILE", help="PNG, JPEG or SVG.", show_default=False)
    ] = None
    letterhead: Annotated[
        str, typer.Option("--letterhead", metavar="TEXT", help="Lines above the name.", show_default=False)
    ] = ""
    footer: Annotated[
        str, typer.Option("--footer", metavar="TEXT", help="Words at the foot of every page.", show_default=False)
    ] = ""
    color: Annotated[
        str, typer.Option("--color", metavar="#RRGGBB", help="Colour of the headings.", show_default=False)
    ] = ""
    font_dir: Annotated[
        list[Path] | None, typer.Option("--font-dir", metavar="DIR", help="Folder with further fonts for PDF.")
    ] = None


def keywords(content: Content, appearance: Appearance, lang: str | None) -> dict[str, Any]:
    """The choices as keyword arguments of `gpukit.report.write`."""
    return {
        "merge": content.merge, "allow_patients": content.allow_patients, "compare": content.compare,
        "include_measurements": content.include_measurements, "embed_images": content.embed_images,
        "image_dirs": content.image_dir, "include": content.include, "exclude": content.exclude,
        "sections": [word for word in (content.sections or "").split(",") if word.strip()],
        "annotation": content.annotation, "raw_html": content.raw_html, "template": appearance.template,
        "template_dirs": appearance.template_dir, "title": appearance.title, "institution": appearance.institution,
        "logo": appearance.logo, "letterhead": appearance.letterhead, "footer": appearance.footer,
        "color": appearance.color, "font_dirs": appearance.font_dir, "lang": lang,
    }  # fmt: skip
