"""PDF by typst: tagged (PDF/UA-1) and archivable (PDF/A-2a); the same input gives the same bytes."""

from __future__ import annotations

import base64
import json
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gpukit.errors import FormatError
from gpukit.extras import missing_package
from gpukit.report.document.model import Document
from gpukit.report.formats.fonts import FAMILIES, fonts_of, uncovered
from gpukit.report.view.spans import plain

__all__ = ["STANDARDS", "write_pdf"]

STANDARDS = ("ua-1", "a-2a")
#: Where a line may be broken inside a number with its unit.
_BREAKS = re.compile(r"[-/·–] ?|\u200b")
_DATE = re.compile(r"(\d{4})(\d{2})(\d{2})")
_SUFFIXES = (".typ", ".png", ".jpg", ".jpeg", ".svg", ".json", ".csv")
_MOST_TEMPLATE_BYTES = 16 << 20


def write_pdf(
    view: dict[str, Any], document: Document, folders: Sequence[Path], *, font_dirs: tuple[Path, ...] = ()
) -> tuple[bytes, list[str]]:
    """The view as PDF.

    Parameters
    ----------
    view : dict
        From `present`.
    document : Document
        For the date of the report, which is the PDF's.
    folders : sequence of Path
        Template folders; ``report.typ`` of the first one that has it.
    font_dirs : tuple of Path
        Folders with further fonts.

    Returns
    -------
    bytes, list of str
        The file, and what could not be drawn.

    Raises
    ------
    FormatError
        The template is wrong.
    DependencyError
        typst is missing.
    """
    try:
        import typst  # noqa: F401
    except ImportError as error:
        raise missing_package("writing PDF needs typst", "report") from error
    template = next(folder for folder in folders if (folder / "report.typ").is_file())
    view, messages = _drawable(view, font_dirs)
    families = set(fonts_of(font_dirs).families())
    with tempfile.TemporaryDirectory(prefix="gpukit-report-") as name:
        root = Path(name)
        _copy_template(template, root)
        content = _for_typst(view, root)
        content["fonts"] = [family.lower() for family in FAMILIES if family in families] or ["libertinus serif"]
        date = document.header.get("ContentDate") or document.header.get("StudyDate", "")
        content["date"] = _date_of(date)
        (root / "report.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8", errors="replace")
        return _compile(root, template, font_dirs), messages


def _date_of(text: str) -> list[int]:
    from datetime import date

    match = _DATE.match(text)
    try:
        day = date(*(int(part) for part in match.groups())) if match else date(2000, 1, 1)
    except ValueError:
        day = date(2000, 1, 1)
    return [day.year, day.month, day.day]


def _compile(root: Path, template: Path, font_dirs: tuple[Path, ...]) -> bytes:
    from gpukit.report.formats.compile_pdf import compile_here, compile_limited
    from gpukit.report.view.template import is_built_in

    compiler = compile_here if is_built_in(template) else compile_limited
    try:
        return compiler(root, font_dirs, STANDARDS)
    except RuntimeError as error:
        raise FormatError(_message(error), file=template / "report.typ", fix="correct the template") from error


def _message(error: RuntimeError) -> str:
    place = re.search(r"(\w[\w./-]*\.typ):(\d+):(\d+)", str(getattr(error, "diagnostic", "")) or str(error))
    words = str(getattr(error, "message", "") or error).partition("┌─")[0].strip()
    words = re.sub(r"\s*\(searched at [^)]*\)", ": only the template's own folder can be read", words)
    hints = "; ".join(getattr(error, "hints", None) or ())
    line = f"line {place[2]}: " if place else ""
    return " ".join(f"{line}{words}{f' ({hints})' if hints else ''}".split())[:600]


def _copy_template(folder: Path, root: Path) -> None:
    total = 0
    for file in folder.iterdir():
        if file.is_file() and not file.is_symlink() and file.suffix.lower() in _SUFFIXES:
            total += file.stat().st_size
            if total > _MOST_TEMPLATE_BYTES:
                raise FormatError("the template's files are too large", file=folder)
            shutil.copyfile(file, root / file.name)


def _drawable(view: dict[str, Any], font_dirs: tuple[Path, ...]) -> tuple[dict[str, Any], list[str]]:
    """The view with what no font has written as ``[U+1F480]``."""
    texts: list[str] = []
    _map_texts(view, lambda text: texts.append(text) or text)  # type: ignore[func-returns-value]
    missing = uncovered(texts, font_dirs)
    if not missing:
        return view, []
    table = {ord(sign): f"[U+{ord(sign):04X}]" for sign in missing}
    some = ", ".join(f"U+{ord(sign):04X}" for sign in sorted(missing)[:5])
    more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
    return _map_texts(view, lambda text: text.translate(table)), [
        f"no font has {some}{more}: written as codes; name a folder with fonts by --font-dir, "
        "or install gpukit[report-fonts]"
    ]


_NOT_TEXT = {"src", "logo", "href", "id", "kind", "k", "lang", "dir", "color", "part", "role", "file", "level"}


def _map_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value) if not value.isascii() else value
    if isinstance(value, dict):
        return {key: inner if key in _NOT_TEXT else _map_texts(inner, change) for key, inner in value.items()}
    if isinstance(value, list):
        return [_map_texts(inner, change) for inner in value]
    return value


def _for_typst(view: dict[str, Any], root: Path) -> dict[str, Any]:
    """The view with its pictures as files, and with links only to what is there."""
    targets: set[str] = set()
    used: set[str] = set()
    _gather(view["parts"], targets)
    count = 0

    def picture(uri: str) -> str:
        nonlocal count
        head, _, data = uri.partition(",")
        kind = "svg" if "svg" in head else "jpg" if "jpeg" in head else "png"
        count += 1
        name = f"picture-{count}.{kind}"
        (root / name).write_bytes(base64.b64decode(data))
        return name

    def spans(list_: list[dict[str, str]]) -> list[dict[str, str]]:
        rtl = any(span.get("dir") == "rtl" for span in list_)
        shown = []
        for span in list_:
            if len(span) == 1:
                shown.append(span)
                continue
            own = dict(span)
            own.pop("dir", None) if own.get("dir") == "ltr" else None
            if own.get("k") == "num" and (rtl or _BREAKS.search(own["t"])):
                own["iso"] = "1"
            elif own.get("k") == "num":
                own.pop("k")
            if own.get("href") and own["href"] not in targets:
                own.pop("href")
            if "lang" in own:
                own["lang"] = own["lang"].partition("-")[0].lower()
                if not re.fullmatch(r"[a-z]{2,3}", own["lang"]):
                    own.pop("lang")
            if "id" in own:
                if own["id"] in used:
                    own.pop("id")
                else:
                    used.add(own["id"])
            shown.append(own)
        return shown

    def block(value: dict[str, Any]) -> dict[str, Any]:
        kind = value.get("kind")
        own = dict(value)
        if kind == "section":
            identifier = value.get("id", "")
            own["id"] = identifier if value["title"] and identifier not in used else ""
            used.add(identifier)
            own["title"] = spans(value["title"])
            own["context"] = fields(value["context"])
            own["blocks"] = [block(inner) for inner in value["blocks"]]
        elif kind == "fields":
            own["title"], own["fields"] = spans(value["title"]), fields(value["fields"])
        elif kind == "text":
            own["name"], own["body"], own["fields"] = (
                spans(value["name"]),
                spans(value["body"]),
                fields(value["fields"]),
            )
        elif kind == "table":
            own["caption"] = spans(value["caption"])
            own["columns"] = [{**column, "title": spans(column["title"])} for column in value["columns"]]
            own["rows"] = [[spans(cell) for cell in row] for row in value["rows"]]
        elif kind == "list":
            own["items"] = [spans(item) for item in value["items"]]
        elif kind == "figures":
            own["figures"] = [
                {"alt": g["alt"], "caption": spans(g["caption"]), "file": picture(g["src"]) if g.get("src") else ""}
                for g in value["figures"]
            ]
        return own

    def fields(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [
            {
                "name": spans(item["name"]), "value": spans(item["value"]), "fields": fields(item["fields"]),
                "short": len(plain(item["name"])) + len(plain(item["value"])) < 46,
            }
            for item in items
        ]  # fmt: skip

    heading = view["heading"]
    return {
        **{key: value for key, value in view.items() if key not in ("parts", "title", "logo")},
        "title": spans(view["title"]),
        "heading-short": heading if len(heading) < 70 else heading[:67] + "…",
        "parts": [block(part) for part in view["parts"]],
        "logo-file": picture(view["logo"]) if view["logo"] else "",
    }


def _gather(value: Any, targets: set[str]) -> None:
    """Identifiers that links can lead to."""
    if isinstance(value, dict):
        if value.get("id") and (value.get("kind") != "section" or value.get("title")):
            targets.add(value["id"])
        for inner in value.values():
            if isinstance(inner, (dict, list)):
                _gather(inner, targets)
    elif isinstance(value, list):
        for inner in value:
            _gather(inner, targets)
