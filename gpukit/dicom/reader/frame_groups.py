"""Functional groups of multi-frame images (PS3.3 C.7.6.16), read without a data set for each frame.

The items of a sequence of functional groups repeat each other: the same elements in the same order, a few values
differing. A `Layout` is learnt from the first items: blocks of bytes that were the same in all of them, and between the
blocks the elements that differed, each with its own length. An item that matches is read by comparing these blocks. It
has then been walked as exactly as element by element, since every tag, length and delimiter was compared or followed.
Any other item is walked in full and widens the layout. What cannot be walked here is left to the full reader.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from gpukit.dicom.reader.attributes import GROUPS, LONG_VRS, SHORT_VRS, Group
from gpukit.errors import FormatError

__all__ = ["MOST_FRAMES", "GroupItems", "GroupReader", "Raw", "Slot", "Unreadable", "Values"]

#: More items than this in one sequence is taken for a damaged header.
MOST_FRAMES = 1_000_000
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_MAX_DEPTH = 32
_MAX_LAYOUTS = 8
_CHUNK = 1 << 20

#: Raw values: slot of the attribute to VR and bytes. A slot is the path to it by tags.
Slot = tuple[int, ...]
Values = dict[Slot, tuple[str, bytes]]
#: Of one item: the values that it shares with all items of its layout (the same object for all), and its own.
Raw = tuple[Values, Values]
#: Reads up to so many bytes from an offset of the file.
Read = Callable[[int, int], bytes]


class Unreadable(Exception):  # noqa: N818 - not an error for users: the full reader takes over
    """The sequence has an oddity that is not read here, or ends before its items do."""


@dataclass(slots=True)
class GroupItems:
    """Raw items of one sequence, and the byte after it."""

    items: list[Raw]
    end: int


@dataclass(frozen=True, slots=True)
class _Token:
    """An element, an item or a delimiter: its head up to the length field, which has `width` bytes, and its value.

    `kind` is "leaf", "open" (a sequence or an item of defined length, whose content follows), "close" (its end), or
    "fixed" (no length field to follow).
    """

    kind: str
    start: int
    prefix: int
    width: int = 0
    length: int = 0
    slot: Slot | None = None
    vr: str = ""

    @property
    def value(self) -> int:
        """First byte of the value."""
        return self.start + self.prefix + self.width

    @property
    def end(self) -> int:
        """The byte after what the token covers."""
        return self.value + (self.length if self.kind == "leaf" else 0)


def _tokens(data: bytes, position: int, explicit: bool) -> list[_Token]:
    """Tokens of the item that begins at `position`.

    Raises
    ------
    Unreadable
        An oddity, or the data end within it.
    """
    out: list[_Token] = []
    try:
        _item(data, position, explicit, (), GROUPS, out, 0)
    except struct.error:
        raise Unreadable from None
    if out[-1].end > len(data):
        raise Unreadable
    return out


def _item(
    data: bytes,
    position: int,
    explicit: bool,
    path: Slot,
    wanted: dict[int, Group] | None,
    out: list[_Token],
    depth: int,
) -> int:
    """Tokens of an item, its head included; returns the byte after it. `wanted` is None where nothing within is."""
    group, element, length = struct.unpack_from("<HHI", data, position)
    if group << 16 | element != _ITEM or depth > _MAX_DEPTH:
        raise Unreadable
    if length == _UNDEFINED:
        out.append(_Token("fixed", position, 8))
        end = None
    else:
        out.append(_Token("open", position, 4, 4, length))
        end = position + 8 + length
        if end > len(data):
            raise Unreadable
    position += 8
    while position != end:
        if end is not None and position > end:
            raise Unreadable
        group, element = struct.unpack_from("<HH", data, position)
        tag = group << 16 | element
        if tag == _ITEM_END and end is None:
            out.append(_Token("fixed", position, 8))
            return position + 8
        position = _element(data, position, tag, explicit, path, wanted, out, depth)
    out.append(_Token("close", position, 0))
    return position


def _element(
    data: bytes,
    position: int,
    tag: int,
    explicit: bool,
    path: Slot,
    wanted: dict[int, Group] | None,
    out: list[_Token],
    depth: int,
) -> int:
    """Tokens of an element; returns the byte after it."""
    length: int
    attribute = None if wanted is None else wanted.get(tag)
    if explicit:
        vr = data[position + 4 : position + 6]
        if vr in LONG_VRS:
            prefix, width, length = 8, 4, struct.unpack_from("<I", data, position + 8)[0]
        elif vr in SHORT_VRS:
            prefix, width, length = 6, 2, struct.unpack_from("<H", data, position + 6)[0]
        else:
            raise Unreadable
    else:
        prefix, width, length = 4, 4, struct.unpack_from("<I", data, position + 4)[0]
        vr = attribute.vr.encode() if attribute is not None else b"SQ" if length == _UNDEFINED else b"UN"
    begin = position + prefix + width
    if length == _UNDEFINED:
        if vr not in (b"SQ", b"UN"):
            raise Unreadable
        out.append(_Token("fixed", position, prefix + width))
        inside = explicit and vr == b"SQ"  # within UN the items are implicit (PS3.5 6.2.2)
        return _items(data, begin, None, inside, (*path, tag), attribute, out, depth)
    if vr == b"SQ" and attribute is not None and attribute.members is not None:
        out.append(_Token("open", position, prefix, width, length))
        return _items(data, begin, begin + length, explicit, (*path, tag), attribute, out, depth)
    slot = (*path, tag) if attribute is not None else None
    out.append(_Token("leaf", position, prefix, width, length, slot, vr.decode()))
    if begin + length > len(data):
        raise Unreadable
    return begin + length


def _items(
    data: bytes,
    position: int,
    end: int | None,
    explicit: bool,
    path: Slot,
    attribute: Group | None,
    out: list[_Token],
    depth: int,
) -> int:
    """Tokens of a sequence's items; only the first has wanted attributes. Returns the byte after the sequence."""
    wanted = None if attribute is None else attribute.members
    while position != end:
        group, element = struct.unpack_from("<HH", data, position)
        if group << 16 | element == _SEQUENCE_END and end is None:
            out.append(_Token("fixed", position, 8))
            return position + 8
        if end is not None and position > end:
            raise Unreadable
        position = _item(data, position, explicit, path, wanted, out, depth + 1)
        wanted = None
    out.append(_Token("close", position, 0))
    return position


class _Layout:
    """How items are laid out, and what is constant in them."""

    def __init__(self, data: bytes, tokens: list[_Token], variable: frozenset[int]) -> None:
        start = tokens[0].start
        self.data = data[start : tokens[-1].end]
        self.tokens = tokens
        self.base = start
        self.variable = _with_parents(tokens, variable)
        self.constants: Values = {}
        self.steps: list[tuple[bytes, int, int, Slot | None, str]] = []
        block = start
        for n, token in enumerate(tokens):
            if n in self.variable:
                head = token.start + token.prefix
                kind = {"leaf": 0, "open": 1, "close": 2}[token.kind]
                self.steps.append((data[block:head], kind, token.width, token.slot, token.vr))
                block = token.end
            elif token.slot is not None:
                self.constants[token.slot] = (token.vr, data[token.value : token.end])
        self.tail = data[block : tokens[-1].end]

    def match(self, data: bytes, position: int) -> tuple[Raw, int] | None:
        """Values of the item at `position` and the byte after it; None where anything but the variable differs."""
        raw: Values = {}
        ends: list[int] = []
        for block, kind, width, slot, vr in self.steps:
            if not data.startswith(block, position):
                return None
            position += len(block)
            if kind == 2:
                if ends.pop() != position:
                    return None
                continue
            begin = position + width
            length = int.from_bytes(data[position:begin], "little")
            position = begin
            if kind == 1:
                ends.append(begin + length)
                continue
            position += length
            if slot is not None:
                raw[slot] = (vr, data[begin:position])
        if not data.startswith(self.tail, position):
            return None
        position += len(self.tail)
        return ((self.constants, raw), position) if position <= len(data) else None

    def widened(self, data: bytes, tokens: list[_Token]) -> _Layout | None:
        """A layout that also matches this item, or None where it has other elements."""
        if len(tokens) != len(self.tokens):
            return None
        variable = set(self.variable)
        for n, (mine, other) in enumerate(zip(self.tokens, tokens, strict=True)):
            if (mine.kind, mine.prefix, mine.width, mine.slot) != (other.kind, other.prefix, other.width, other.slot):
                return None
            head = self.data[mine.start - self.base : mine.start + mine.prefix - self.base]
            if head != data[other.start : other.start + other.prefix]:
                return None
            here = self.data[mine.start + mine.prefix - self.base : mine.end - self.base]
            if mine.kind == "leaf" and here != data[other.start + other.prefix : other.end]:
                variable.add(n)
        return _Layout(data, tokens, frozenset(variable))


def _with_parents(tokens: list[_Token], variable: frozenset[int]) -> frozenset[int]:
    """The variable tokens, and the begin and end of all of defined length that hold one: their length may vary too."""
    out = set(variable)
    stack: list[int] = []
    touched: list[bool] = []
    for n, token in enumerate(tokens):
        if token.kind == "open":
            stack.append(n)
            touched.append(False)
        elif token.kind == "close":
            if touched.pop():
                out |= {stack.pop(), n}
                if touched:
                    touched[-1] = True
            else:
                stack.pop()
        elif n in variable and touched:
            touched[-1] = True
    return frozenset(out)


@dataclass
class GroupReader:
    """Reads sequences of functional groups; remembers the layouts of the items that it met, also of other files.

    Shared by the threads of one scan: layouts are never changed, only replaced.
    """

    _layouts: dict[bool, tuple[_Layout, ...]] = field(default_factory=dict)

    def read(self, read: Read, offset: int, length: int | None, *, explicit: bool, size: int) -> GroupItems:
        """Items of the sequence whose value begins at byte `offset`.

        Parameters
        ----------
        read : callable
            Reads up to so many bytes from an offset.
        offset, length : int
            Of the sequence's value; None for one of undefined length.
        explicit : bool
            Whether the VR is explicit; the byte order is little endian.
        size : int
            Of the file, bytes: no more is read than that.

        Raises
        ------
        Unreadable
            The sequence is not read here.
        FormatError
            It has an absurd number of items.
        """
        end = size if length is None else offset + length
        data, base, position = read(min(length or _CHUNK, _CHUNK), offset), offset, 0
        items: list[Raw] = []
        while length is None or base + position < end:
            if length is None and data[position : position + 8] == b"\xfe\xff\xdd\xe0\0\0\0\0":
                return GroupItems(items, base + position + 8)
            try:
                raw, following = self._next(data, position, explicit)
            except Unreadable:
                more = min(end - base - len(data), max(_CHUNK, len(data) - position))
                if more <= 0:
                    raise
                addition = read(more, base + len(data))
                if not addition:
                    raise
                data, base, position = data[position:] + addition, base + position, 0
                continue
            items.append(raw)
            position = following
            if len(items) > MOST_FRAMES:
                raise FormatError(f"more than {MOST_FRAMES} functional groups", attribute="NumberOfFrames")
        if base + position != end:
            raise Unreadable
        return GroupItems(items, end)

    def _next(self, data: bytes, position: int, explicit: bool) -> tuple[Raw, int]:
        layouts = self._layouts.get(explicit, ())
        for n, layout in enumerate(layouts):
            matched = layout.match(data, position)
            if matched is not None:
                if n:
                    self._layouts[explicit] = (layout, *layouts[:n], *layouts[n + 1 :])
                return matched
        tokens = _tokens(data, position, explicit)
        for n, layout in enumerate(layouts):
            wider = layout.widened(data, tokens)
            if wider is not None:
                self._layouts[explicit] = (wider, *layouts[:n], *layouts[n + 1 :])
                break
        else:
            self._layouts[explicit] = (_Layout(data, tokens, frozenset()), *layouts[: _MAX_LAYOUTS - 1])
        raw = {t.slot: (t.vr, data[t.value : t.end]) for t in tokens if t.slot is not None}
        return ({}, raw), tokens[-1].end
