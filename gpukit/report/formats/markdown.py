"""CommonMark with tables; every text of the report is escaped, so that a reader of Markdown gives it back as it was."""

from __future__ import annotations

import re
from typing import Any

from gpukit.report.view.spans import plain

__all__ = ["escape", "write_markdown"]

_SPECIAL = re.compile(r"[\\`*_\[\]<>&|~$]")
#: At the beginning of a line: headings, lists, quotes, rules, setext underlines, tables.
_AT_START = re.compile(r"^(#{1,6}(?=\s|$)|[+\-=:]|(\d{1,9})([.)])(?=\s|$))")
#: What GFM would turn into a link.
_LINK = re.compile(r"\b(https?|ftp|mailto|xmpp)(?=:)|\bwww(?=\.)|(?<=\w)@(?=\w)", re.IGNORECASE)


def escape(text: str, *, line_start: bool = True, in_table: bool = False) -> str:
    """A text of the report in CommonMark."""
    lines = []
    for line in text.replace("\u00a0", " ").split("\n"):
        shown = _SPECIAL.sub(lambda match: f"\\{match[0]}", line)
        shown = _LINK.sub(lambda match: _broken(match[0]), shown)
        body = shown.lstrip(" \t")
        if line_start:
            body = _AT_START.sub(lambda m: f"{m[2]}\\{m[3]}" if m[2] else f"\\{m[0]}", body)
        blank = len(shown) - len(shown.lstrip(" \t"))
        lines.append("&#32;" * blank + body if blank and line_start else shown if blank else body)
    if in_table:
        return " ".join(lines)
    return "\\\n".join(line or "&#32;" for line in lines) if len(lines) > 1 else lines[0]


def _broken(word: str) -> str:
    """Keeps a word from becoming a link: its first character as an entity."""
    return f"&#{ord(word[0])};{word[1:]}"


def write_markdown(view: dict[str, Any]) -> str:
    """The view as Markdown."""
    out: list[str] = [escape(words) for words in (view["letterhead"], view["institution"]) if words]
    if view["logo"]:
        out.append(f"![{escape(view['logo_alt'])}]({view['logo']})")
    out.append(f"# {_inline(view['title'])}")
    out += [f"> **{banner['word']}**: {escape(banner['text'], line_start=False)}" for banner in view["banners"]]
    out += [f"> {escape(note)}" for note in view["notes"]]
    for part in view["parts"]:
        _section(part, out)
    if view["footer"]:
        out += ["---", escape(view["footer"])]
    return "\n\n".join(block for block in out if block) + "\n"


def _inline(spans: list[dict[str, str]]) -> str:
    return escape(plain(spans), line_start=False, in_table=True)


def _section(section: dict[str, Any], out: list[str]) -> None:
    if section["title"]:
        out.append(f"{'#' * min(section['level'], 6)} {_inline(section['title'])}")
    if section["context"]:
        out.append(_fields(section["context"]))
    for block in section["blocks"]:
        kind = block["kind"]
        if kind == "section":
            _section(block, out)
        elif kind == "fields":
            if block["title"]:
                out.append(f"**{_inline(block['title'])}**")
            out.append(_fields(block["fields"]))
        elif kind == "text":
            name = f"**{_inline(block['name'])}**" if block["name"] else ""
            out += [name, escape(plain(block["body"]))]
            if block["fields"]:
                out.append(_fields(block["fields"]))
        elif kind == "table":
            if block["caption"]:
                out.append(f"**{_inline(block['caption'])}**")
            out.append(_table(block))
        elif kind == "list":
            out.append("\n".join(f"- {_inline(item) or '&#32;'}" for item in block["items"]))
        elif kind == "note":
            out.append(f"> {escape(block['text'])}")
        elif kind == "figures":
            for figure in block["figures"]:
                words = escape(figure["alt"], line_start=False, in_table=True)
                out.append(f"![{words}]({figure['src']})" if figure.get("src") else f"> {words}")
        elif kind == "trend":
            out.append(f"> {escape(block['alt'])}")


def _fields(fields: list[dict[str, Any]], depth: int = 0) -> str:
    lines = []
    for field in fields:
        name, value = _inline(field["name"]), escape(plain(field["value"]), line_start=not field["name"], in_table=True)
        words = f"**{name}**: {value}" if name else value
        lines.append("  " * min(depth, 12) + f"- {words.rstrip() or '&#32;'}")
        if field["fields"]:
            lines.append(_fields(field["fields"], depth + 1))
    return "\n".join(lines)


def _table(table: dict[str, Any]) -> str:
    head = "| " + " | ".join(_inline(column["title"]) for column in table["columns"]) + " |"
    rule = "| " + " | ".join("---:" if column["num"] else "---" for column in table["columns"]) + " |"
    rows = ["| " + " | ".join(_inline(cell) for cell in row) + " |" for row in table["rows"]]
    return "\n".join([head, rule, *rows])
