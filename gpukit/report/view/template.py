"""Templates: a folder with ``template.toml``, and where wished its own ``report.html.j2`` or ``report.typ``."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gpukit.errors import FormatError, InputNotFoundError
from gpukit.report.view.present import PARTS

__all__ = ["BUILT_IN", "Template", "is_built_in", "load_template", "user_folder"]

_FOLDER = Path(__file__).parent / "templates"
#: Templates that come with the tool.
BUILT_IN = ("default", "radiology", "cardiology", "oncology", "dose", "key-images")
_MOST_BYTES = 1 << 20
_COLOR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True, kw_only=True)
class Template:
    """What a template folder says.

    Parameters
    ----------
    name : str
    folders : tuple of Path
        Its own, then those that it extends, then the default's; a file is taken from the first that has it.
    parts : tuple of str
        Parts of the document, in order.
    first : tuple of str
        Sections of the report that come first, by code or position.
    include, exclude : tuple of str
        By code or position.
    color, title, institution, footer, letterhead : str
    logo : Path or None
    columns : int
        Key images side by side.
    labels : dict
        Own words for headings.
    """

    name: str
    folders: tuple[Path, ...]
    parts: tuple[str, ...] = PARTS
    first: tuple[str, ...] = ()
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    color: str = "#1f4e79"
    title: str = ""
    institution: str = ""
    footer: str = ""
    letterhead: str = ""
    logo: Path | None = None
    columns: int = 2
    labels: dict[str, str] = field(default_factory=dict)


def user_folder() -> Path:
    """Where a user's own templates are: a folder of the user's configuration."""
    if sys.platform == "win32":
        base = Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return base / "gpukit" / "report"


def load_template(name: str, folders: Sequence[Path] = ()) -> Template:
    """Find and read a template.

    Parameters
    ----------
    name : str
        Of a folder in `folders`, in the user's configuration, or built in; or a path to one.
    folders : sequence of Path
        Searched first (``--template-dir``).

    Raises
    ------
    InputNotFoundError
        There is none of that name.
    FormatError
        Its ``template.toml`` is wrong; names file and line.
    """
    return _load(name, folders, depth=0)


def _load(name: str, folders: Sequence[Path], depth: int) -> Template:
    folder = _find(name, folders)
    file = folder / "template.toml"
    values = _Values(file, _read(file))
    base: Template | None = None
    extends = values.text("", "extends", "" if folder.name == "default" and folder.parent == _FOLDER else "default")
    if extends:
        if depth > 8:
            raise FormatError("templates extend each other in a circle", file=file, attribute="extends")
        base = _load(extends, folders, depth + 1) if (extends != name or depth == 0) and extends else None
    base = base or Template(name=name, folders=())
    logo = values.text("look", "logo", "")
    if logo and ("/" in logo or "\\" in logo or not (folder / logo).is_file()):
        raise values.error("look", "logo", f"there is no file {logo[:60]!r} in the template's folder")
    hidden = values.words("sections", "hide", ())
    parts = values.words("sections", "order", base.parts)
    for part in (*parts, *hidden):
        if part not in PARTS:
            raise values.error(
                "sections", "order" if part in parts else "hide", f"{part[:30]!r} is not one of {', '.join(PARTS)}"
            )
    color = values.text("look", "color", base.color)
    if not _COLOR.fullmatch(color):
        raise values.error("look", "color", f"{color[:20]!r} is not a colour such as #1f4e79")
    columns = values.number("look", "columns", base.columns)
    template = Template(
        name=name,
        folders=(folder, *base.folders),
        parts=tuple(part for part in parts if part not in hidden),
        first=values.words("sections", "first", base.first),
        include=values.words("sections", "include", base.include),
        exclude=values.words("sections", "exclude", base.exclude),
        color=color,
        title=values.text("look", "title", base.title),
        institution=values.text("look", "institution", base.institution),
        footer=values.text("look", "footer", base.footer),
        letterhead=values.text("look", "letterhead", base.letterhead),
        logo=folder / logo if logo else base.logo,
        columns=columns,
        labels={**base.labels, **values.labels()},
    )
    values.check()
    return template


def _find(name: str, folders: Sequence[Path]) -> Path:
    plain = re.fullmatch(r"[\w.\-]{1,64}", name) is not None and name not in (".", "..")
    candidates = [Path(folder) / name for folder in (*folders, user_folder(), _FOLDER)] if plain else [Path(name)]
    for candidate in candidates:
        if (candidate / "template.toml").is_file():
            return candidate
    own = [
        Path(folder) for folder in folders if Path(folder).name == name and (Path(folder) / "template.toml").is_file()
    ]
    if own:
        return own[0]
    raise InputNotFoundError(
        f"there is no template {name[:60]!r}", attribute="template",
        fix=f"choose one of {', '.join(BUILT_IN)}, or name its folder with --template-dir",
    )  # fmt: skip


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > _MOST_BYTES:
            raise FormatError("the file is too large for a template", file=file)
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError("is not UTF-8", file=file, fix="save it as UTF-8") from error


class _Values:
    """Members of a ``template.toml``, each checked when asked for; what nobody asked for is an error."""

    def __init__(self, file: Path, text: str) -> None:
        self.file, self.lines = file, text.splitlines()
        try:
            self.content: dict[str, Any] = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise FormatError(str(error), file=file, fix="correct the template") from error
        self.asked: set[tuple[str, str]] = set()

    def _get(self, table: str, key: str) -> Any:
        self.asked.add((table, key))
        if not table:
            return self.content.get(key)
        inner = self.content.get(table)
        if inner is not None and not isinstance(inner, dict):
            raise self.error("", table, "is not a table")
        return None if inner is None else inner.get(key)

    def text(self, table: str, key: str, default: str) -> str:
        value = self._get(table, key)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > 4000:
            raise self.error(table, key, "is not a text")
        return value

    def number(self, table: str, key: str, default: int) -> int:
        value = self._get(table, key)
        if value is None:
            return default
        if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= 4:
            raise self.error(table, key, "is not a number from 1 to 4")
        return value

    def words(self, table: str, key: str, default: tuple[str, ...]) -> tuple[str, ...]:
        value = self._get(table, key)
        if value is None:
            return default
        if not isinstance(value, list) or not all(isinstance(word, str) for word in value) or len(value) > 500:
            raise self.error(table, key, "is not a list of texts")
        return tuple(value)

    def labels(self) -> dict[str, str]:
        value = self.content.get("labels", {})
        if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
            raise self.error("", "labels", "is not a table of texts")
        return dict(value)

    def check(self) -> None:
        for table, value in self.content.items():
            if table == "labels":
                continue
            inner = [(table, key) for key in value] if isinstance(value, dict) else [("", table)]
            for name, key in inner:
                if (name, key) not in self.asked:
                    raise self.error(name, key, "is not a setting of templates")

    def error(self, table: str, key: str, what: str) -> FormatError:
        line = next(
            (n for n, text in enumerate(self.lines, 1) if re.match(rf"\s*\[?\s*\"?{re.escape(key)}\b", text)), 1
        )
        name = f"{table}.{key}" if table else key
        return FormatError(f"line {line}: {what}", file=self.file, attribute=name, fix="correct the template")


def is_built_in(folder: Path) -> bool:
    """Whether a template folder is one of ours."""
    return folder.parent == _FOLDER
