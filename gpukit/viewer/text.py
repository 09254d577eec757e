"""Text of files made harmless for terminals, and cut to the width of cells."""

from __future__ import annotations

import unicodedata

__all__ = ["clean", "cut", "width_of"]


def clean(text: object, limit: int = 200) -> str:
    """One line without anything that a terminal could obey.

    Control characters (also of C1), line and paragraph separators, marks that turn the direction of writing round and
    other characters of format become ``?``; no escape sequence of a file reaches the terminal.
    """
    safe = []
    for char in str(text)[:limit]:
        kind = unicodedata.category(char)
        if char in "\t\n\r":
            safe.append(" ")
        elif kind in ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"):
            safe.append("?")
        else:
            safe.append(char)
    return " ".join("".join(safe).split(" ")).strip()


def width_of(text: str) -> int:
    """Cells that a text takes: wide characters two, combining ones none."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in ("W", "F") else 1 for c in text
    )


def cut(text: str, cells: int) -> str:
    """The text, or as much of it as has room in so many cells."""
    if text.isascii():
        return text[: max(0, cells)]
    chars, room = [], cells
    for char in text:
        wide = width_of(char)
        if wide > room:
            break
        chars.append(char)
        room -= wide
    return "".join(chars)
