"""What is chosen about a document, checked before any work begins."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from gpukit.errors import FormatError, InputError, InputNotFoundError, TooLargeError
from gpukit.extras import missing_package
from gpukit.report.view.present import PARTS, Look
from gpukit.report.view.template import Template, load_template

__all__ = ["FORMATS", "SUFFIXES", "Options", "format_of", "look_of", "logo_uri"]

#: Format to the suffix of its files.
SUFFIXES = {"pdf": ".pdf", "html": ".html", "markdown": ".md", "json": ".json", "text": ".txt", "dicom-pdf": ".dcm"}
FORMATS = tuple(SUFFIXES)
_BY_SUFFIX = {
    ".pdf": "pdf", ".html": "html", ".htm": "html", ".md": "markdown", ".markdown": "markdown", ".json": "json",
    ".txt": "text", ".text": "text", ".dcm": "dicom-pdf",
}  # fmt: skip
_MOST_LOGO = 4 << 20
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, kw_only=True)
class Options:
    """Choices of a document; see `gpukit.report.write` for their meaning."""

    format: str
    template: str = "default"
    template_dirs: tuple[Path, ...] = ()
    lang: str | None = None
    sections: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    include_measurements: bool = False
    embed_images: bool = False
    image_dirs: tuple[Path, ...] = ()
    compare: tuple[Path, ...] = ()
    merge: bool = False
    allow_patients: bool = False
    title: str = ""
    institution: str = ""
    annotation: str = ""
    footer: str = ""
    letterhead: str = ""
    logo: Path | None = None
    color: str = ""
    font_dirs: tuple[Path, ...] = ()
    raw_html: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise InputError(f"{self.format!r} is not one of {', '.join(FORMATS)}", attribute="format")
        if self.color and not _COLOR.fullmatch(self.color):
            raise InputError(f"{self.color[:20]!r} is not a colour such as #1f4e79", attribute="color")
        if self.embed_images and self.format not in ("pdf", "html", "markdown", "dicom-pdf"):
            raise InputError(f"{self.format} has no pictures", attribute="embed_images", fix="choose html or pdf")


def format_of(output: str | PathLike[str] | None, format: str | None) -> str:
    """The format that was asked for, else that of the output's suffix, else text."""
    if format:
        return "markdown" if format == "md" else format
    if output is None or str(output) == "-":
        return "text"
    suffix = Path(output).suffix.lower()
    if suffix not in _BY_SUFFIX:
        raise InputError(
            f"{suffix or str(output)!r} does not tell the format",
            attribute="output",
            fix=f"say --format {', '.join(FORMATS)}",
        )
    return _BY_SUFFIX[suffix]


def look_of(options: Options) -> tuple[Look, Template]:
    """Appearance from the template and what the user says beside it."""
    template = load_template(options.template, options.template_dirs)
    logo = options.logo or template.logo
    parts = template.parts
    own = tuple(word for word in options.sections if word in PARTS)
    if own:
        parts = own if "report" in own or len(own) == len(options.sections) else (*own, "report")
    elif options.sections:
        parts = ("report",)
    look = Look(
        parts=parts,
        title=options.title or template.title,
        institution=options.institution or template.institution,
        footer=options.footer or template.footer,
        letterhead=options.letterhead or template.letterhead,
        annotation=options.annotation,
        color=options.color or template.color,
        logo=logo_uri(logo) if logo else "",
        labels=template.labels,
        raw_html=options.raw_html,
        columns=template.columns,
    )
    return look, template


def logo_uri(path: Path) -> str:
    """A picture as a data URI, after a look at what it is.

    Raises
    ------
    FormatError
        It is not a PNG, JPEG or SVG picture, or is damaged.
    """
    try:
        if path.stat().st_size > _MOST_LOGO:
            raise TooLargeError(f"the logo has more than {_MOST_LOGO >> 20} MiB", file=path, attribute="logo")
        data = path.read_bytes()
    except OSError as error:
        raise InputNotFoundError(f"cannot be read: {error.strerror}", file=path, attribute="logo") from error
    if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
        kind = "png" if data[:1] == b"\x89" else "jpeg"
        _check_picture(data, path)
    elif b"<svg" in data[:4096]:
        kind = "svg+xml"
        _check_svg(data, path)
    else:
        raise FormatError("is not a PNG, JPEG or SVG picture", file=path, attribute="logo", fix="convert the logo")
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _check_picture(data: bytes, path: Path) -> None:
    import io

    try:
        from PIL import Image
    except ImportError as error:
        raise missing_package("a logo needs Pillow", "report") from error
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > 64_000_000:
                raise TooLargeError("the logo has too many pixels", file=path, attribute="logo")
            picture.load()
    except TooLargeError:
        raise
    except Exception as error:  # Pillow raises many kinds on damage
        raise FormatError(f"the picture is damaged: {error}", file=path, attribute="logo") from error


def _check_svg(data: bytes, path: Path) -> None:
    """Nothing that runs, loads or expands: such an SVG is refused."""
    from xml.parsers import expat

    problems: list[str] = []

    def start(name: str, attributes: dict[str, Any]) -> None:
        local = name.rpartition(":")[2].lower()
        if local in ("script", "foreignobject", "iframe", "image", "use", "style", "animate", "set", "handler"):
            value = str(attributes.get("href") or attributes.get("xlink:href") or "")
            if local not in ("use", "style", "image") or (value and not value.startswith(("#", "data:image/"))):
                problems.append(f"<{name[:20]}>")
        for word, value in attributes.items():
            if word.lower().startswith("on") or (
                word.endswith("href") and not str(value).startswith(("#", "data:image/"))
            ):
                problems.append(f"attribute {word[:20]!r}")

    def entity(*_: Any) -> None:
        problems.append("entities")

    def text(words: str) -> None:
        if "@import" in words or "url(" in words.replace("url(#", ""):
            problems.append("outside style")

    parser = expat.ParserCreate()
    parser.StartElementHandler = start
    parser.EntityDeclHandler = entity
    parser.CharacterDataHandler = text
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise FormatError(f"the SVG is damaged: {error}", file=path, attribute="logo") from error
    if problems:
        raise FormatError(
            f"the SVG has {problems[0]}, which a logo must not have",
            file=path,
            attribute="logo",
            fix="export it as PNG",
        )


def paths(value: str | PathLike[str] | Sequence[str | PathLike[str]] | None) -> tuple[Path, ...]:
    """One path or several as a tuple."""
    if value is None:
        return ()
    return (Path(value),) if isinstance(value, (str, PathLike)) else tuple(Path(one) for one in value)
