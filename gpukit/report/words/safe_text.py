"""Text that cannot deceive or break a page: controls and overrides of direction shown as what they are."""

from __future__ import annotations

import re
import unicodedata
from html.parser import HTMLParser

__all__ = ["cell_width", "direction_of", "is_html", "safe", "text_of_html"]

#: Controls but tab and line feed, bidi marks and overrides, separators, surrogates and non-characters.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ufffe\uffff"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)
_NEWLINES = re.compile(r"\r\n|\n\r|\r|\x0b|\x0c|\x85|\u2028|\u2029")
_HTML = re.compile(r"\s*(<!doctype\s+html\b|<html\b|<(body|div|p|table|span)\b[^>]*>.*</\2\s*>\s*$)", re.I | re.S)
_MAX_HTML_DEPTH = 500


def safe(text: str) -> str:
    """Text with line feeds as its only control; what may not be shown appears as ``[U+202E]``."""
    if text.isascii() and text.isprintable():
        return text
    text = _NEWLINES.sub("\n", text)
    return _UNSAFE.sub(lambda match: f"[U+{ord(match[0]):04X}]", text)


def direction_of(text: str) -> str:
    """``rtl`` where the first letter with a direction is Arabic or Hebrew, else ``ltr``."""
    if text.isascii():
        return "ltr"
    for sign in text:
        kind = unicodedata.bidirectional(sign)
        if kind in ("R", "AL"):
            return "rtl"
        if kind == "L":
            return "ltr"
    return "ltr"


def cell_width(text: str) -> int:
    """Columns that a text takes in a terminal: wide characters count as two, combining ones as none."""
    if text.isascii() or max(text) < "\u0300":
        return len(text)
    return sum(
        0 if unicodedata.combining(sign) or unicodedata.category(sign) == "Cf"
        else 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        for sign in text
    )  # fmt: skip


def is_html(text: str) -> bool:
    """Whether a text is a page or block of HTML, as some makers put into a TEXT item."""
    return "<" in text and _HTML.match(text) is not None


def text_of_html(text: str) -> str:
    """The words of HTML, block by block; scripts and styles are left out, nothing is loaded."""
    parser = _Words()
    try:
        parser.feed(text)
        parser.close()
    except (AssertionError, ValueError, RecursionError):
        return text
    lines = [" ".join(line.split()) for line in "".join(parser.words).split("\n")]
    return "\n".join(line for line in lines if line) or text


class _Words(HTMLParser):
    _BLOCKS = frozenset(
        {*("p", "div", "br", "tr", "li", "table", "ul", "ol", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "title")}
    )

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.words: list[str] = []
        self._hidden = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "style", "head"):
            self._hidden += 1
        elif tag in self._BLOCKS:
            self.words.append("\n")
        elif tag in ("td", "th"):
            self.words.append(" ")

    def handle_endtag(self, tag: str) -> None:
        if tag in ("script", "style", "head"):
            self._hidden = max(0, self._hidden - 1)
        elif tag in self._BLOCKS:
            self.words.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._hidden:
            self.words.append(data)
