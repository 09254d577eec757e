"""Keys and mouse from the bytes that a terminal sends; replies to questions are recognised and never act as keys."""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Event", "parse"]

_NAMES = {
    "[A": "up", "[B": "down", "[C": "right", "[D": "left", "OA": "up", "OB": "down", "OC": "right", "OD": "left",
    "[H": "home", "[F": "end", "OH": "home", "OF": "end", "[1~": "home", "[4~": "end", "[7~": "home", "[8~": "end",
    "[5~": "page-up", "[6~": "page-down", "[Z": "back-tab", "[3~": "delete",
}  # fmt: skip
_MOUSE = re.compile(rb"\x1b\[<(\d+);(\d+);(\d+)([Mm])")
_CONTROL = re.compile(rb"\x1b(\[[0-9;?<=>]*[ -/]*[@-~]|O[A-Za-z])")
#: Replies to questions, and what else terminals send by themselves: strings up to their terminator.
_STRING = re.compile(rb"\x1b[P_\]^X][^\x07\x1b]*(?:\x07|\x1b\\)")
_STRING_BEGIN = re.compile(rb"\x1b[P_\]^X][^\x07\x1b]*\x1b?$")
_BEGIN = re.compile(rb"\x1b(?:\[[0-9;?<=>]*[ -/]*|O)?$")


@dataclass(frozen=True)
class Event:
    """A key, or something done with the mouse.

    Parameters
    ----------
    name : str
        A character, ``up``, ``down``, ``left``, ``right``, ``home``, ``end``, ``page-up``, ``page-down``, ``escape``,
        ``tab``, ``enter``; ``press``, ``drag``, ``release``, ``wheel-up``, ``wheel-down``.
    column, line : int
        Of the mouse, from 0.
    shift : bool
        Whether shift was held.
    """

    name: str
    column: int = -1
    line: int = -1
    shift: bool = False


def parse(data: bytes, *, complete: bool = False) -> tuple[list[Event], bytes]:
    """Events, and the bytes of a sequence that is not complete yet.

    Parameters
    ----------
    data : bytes
        As read.
    complete : bool
        No more bytes come soon: a lone escape is the key.
    """
    events: list[Event] = []
    at = 0
    while at < len(data):
        if data[at] != 0x1B:
            size, event = _plain(data[at:])
            if size == 0:
                return events, b"" if complete else data[at:]
            if event is not None:
                events.append(event)
            at += size
            continue
        if (match := _MOUSE.match(data, at)) is not None:
            event = _mouse(match)
            if event is not None:
                events.append(event)
        elif (match := _STRING.match(data, at)) is not None:
            pass
        elif (match := _CONTROL.match(data, at)) is not None:
            event = _named(match[1].decode("ascii"))
            if event is not None:
                events.append(event)
        elif _BEGIN.match(data, at) or _STRING_BEGIN.match(data, at):
            if not complete:
                return events, data[at:]
            if len(data) - at == 1:
                events.append(Event("escape"))
            return events, b""
        else:
            at += 1  # a key with Alt, or noise: the escape is left out
            continue
        at = match.end()
    return events, b""


def _plain(data: bytes) -> tuple[int, Event | None]:
    """One character and its bytes; 0 bytes where it is not complete."""
    first = data[0]
    if first < 0x80:
        name = {9: "tab", 10: "enter", 13: "enter", 127: "backspace", 8: "backspace"}.get(first)
        if name is None and first >= 32:
            name = chr(first)
        return 1, None if name is None else Event(name)
    size = 2 if first >> 5 == 6 else 3 if first >> 4 == 14 else 4 if first >> 3 == 30 else 1
    if len(data) < size:
        return 0, None
    try:
        return size, Event(data[:size].decode())
    except UnicodeDecodeError:
        return 1, None


def _named(text: str) -> Event | None:
    """A key by its sequence; modifiers are told as shift or not at all."""
    if text in _NAMES:
        return Event(_NAMES[text])
    modified = re.fullmatch(r"\[1;(\d+)([ABCDHF])", text)
    if modified is not None:
        return Event(_NAMES["[" + modified[2]], shift=bool((int(modified[1]) - 1) & 1))
    return None


def _mouse(match: re.Match[bytes]) -> Event | None:
    code, column, line = int(match[1]), int(match[2]) - 1, int(match[3]) - 1
    shift = bool(code & 4)
    if code & 64:
        return Event("wheel-down" if code & 1 else "wheel-up", column, line, shift)
    if match[4] == b"m":
        return Event("release", column, line, shift)
    if code & 3 == 3:
        return None
    return Event("drag" if code & 32 else "press", column, line, shift)
