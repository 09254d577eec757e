"""Headers that repeat: the files of a series differ in a few values, so only those are looked at again.

A `Template` is learnt from files that were walked in full. It is a chain of byte blocks that were the same in all of
them, and between the blocks the elements that differed, each with its own length read from the file. A file matches
only if every block is there to the byte, at the place to which the lengths lead: then it has been walked as exactly as
by `gpukit.dicom.reader.elements`, and its other values are those of the template. Anything else is walked in full.
"""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from typing import Any

from gpukit.dicom.reader.attributes import BY_TAG
from gpukit.dicom.reader.elements import EXPLICIT, LONG_VRS, SHORT_VRS, Found
from gpukit.dicom.reader.values import MEDIA_INSTANCE, Memory, creator_key, decode_changed

__all__ = ["Repeats"]

_MAX_TOKENS = 4000


@dataclass(frozen=True, slots=True)
class Token:
    """One element, item or delimiter of a header, as it lies in the file.

    Parameters
    ----------
    start, prefix, width, length : int
        First byte; bytes before the length field; bytes of the length field (0 where the token is fixed: a delimiter,
        or the head of something of undefined length); bytes of the value.
    tag : int
        Tag for the root data set and file meta, 0 within sequences.
    vr : str
        Value representation.
    """

    start: int
    prefix: int
    width: int
    length: int
    tag: int
    vr: str

    @property
    def end(self) -> int:
        """The byte after the value."""
        return self.start + self.prefix + self.width + self.length


def tokenize(data: bytes, end: int) -> list[Token] | None:
    """Tokens of an explicit little-endian file up to the pixels' value at byte `end`.

    The file has been walked, so its structure is sound; None where it has an oddity that is not worth repeating.
    """
    tokens: list[Token] = []
    position, depth = 132, 0
    while position < end:
        if len(tokens) > _MAX_TOKENS or position + 8 > end:
            return None
        group, element, vr, short = struct.unpack_from("<HH2sH", data, position)
        if group == 0xFFFE:
            length = struct.unpack_from("<I", data, position + 4)[0]
            if element == 0xE000:
                if length == 0xFFFFFFFF:
                    tokens.append(Token(position, 8, 0, 0, 0, ""))
                    depth += 1
                else:
                    tokens.append(Token(position, 4, 4, length, 0, ""))
            else:
                tokens.append(Token(position, 8, 0, 0, 0, ""))
                depth -= 1
                if depth < 0:
                    return None
        else:
            name = vr.decode("ascii", "replace")
            tag = 0 if depth else group << 16 | element
            if vr in LONG_VRS:
                if position + 12 > end:
                    return None
                length = struct.unpack_from("<I", data, position + 8)[0]
                if length == 0xFFFFFFFF:
                    if vr == b"UN":
                        return None  # implicit within
                    tokens.append(Token(position, 12, 0, 0, tag, name))
                    depth += position + 12 < end  # not for the pixels themselves
                elif position + 12 == end:
                    tokens.append(Token(position, 8, 4, 0, tag, name))
                else:
                    tokens.append(Token(position, 8, 4, length, tag, name))
            elif vr in SHORT_VRS:
                tokens.append(Token(position, 6, 2, short, tag, name))
            else:
                return None
        position = tokens[-1].end
    return tokens if position == end and tokens and depth == 0 else None


@dataclass(frozen=True, slots=True)
class Match:
    """What a template found in a file.

    Parameters
    ----------
    changed : list of (int, str, bytes)
        Tag, VR and raw value of the wanted elements that may differ from file to file.
    end : int
        Byte at which the pixels' value begins.
    length : int
        As the pixel element claims.
    """

    changed: list[tuple[int, str, bytes]]
    end: int
    length: int


class Template:
    """A header layout with what is constant in it.

    Parameters
    ----------
    data : bytes
        Begin of a file.
    tokens : list of Token
        Its tokens.
    variable : frozenset of int
        Numbers of the tokens whose value differs between files.
    constants : dict
        Decoded values of one file; those of variable elements are overwritten at each match.
    keyword : str
        Of the pixel element.
    """

    def __init__(
        self, data: bytes, tokens: list[Token], variable: frozenset[int], constants: dict[str, Any], keyword: str
    ) -> None:
        self.data = data
        self.tokens = tokens
        self.variable = variable
        self.keyword = keyword
        self.vr = tokens[-1].vr
        changing = {BY_TAG[tokens[n].tag].keyword for n in variable if tokens[n].tag in BY_TAG}
        if not any(t.tag == 0x00080018 and t.length for t in tokens):  # then it comes from the file meta
            changing |= {"SOPInstanceUID"} if any(tokens[n].tag == MEDIA_INSTANCE for n in variable) else set()
        self.constants = {k: v for k, v in constants.items() if k not in changing}
        self.charset = b"".join(data[t.end - t.length : t.end] for t in tokens if t.tag == 0x00080005)
        self.creators = {
            creator_key(t.tag): data[t.end - t.length : t.end].decode("ascii", "replace").strip(" \0")
            for t in tokens
            if _is_creator(t.tag)
        }
        self._steps: list[tuple[bytes, int, int, int, str]] = []  # block, its size, width, tag if wanted, VR
        start = 0
        for n in sorted(variable):
            token = tokens[n]
            block = data[start : token.start + token.prefix]
            wanted = token.tag if token.tag in BY_TAG or token.tag == MEDIA_INSTANCE else 0
            self._steps.append((block, len(block), token.width, wanted, token.vr))
            start = token.end
        last = tokens[-1]
        self._tail = data[start : last.start + last.prefix]
        self._undefined = last.width == 0

    def match(self, data: bytes) -> Match | None:
        """Find this layout in the first bytes of another file; None where anything else than the variable differs."""
        position = 0
        changed: list[tuple[int, str, bytes]] = []
        for block, size, width, tag, vr in self._steps:
            if not data.startswith(block, position):
                return None
            position += size
            begin = position + width
            position = begin + int.from_bytes(data[position:begin], "little")
            if tag:
                changed.append((tag, vr, data[begin:position]))
        if not data.startswith(self._tail, position):  # also where a length led beyond the data
            return None
        position += len(self._tail)
        if self._undefined:
            return Match(changed, position, 0xFFFFFFFF)
        if position + 4 > len(data):
            return None
        return Match(changed, position + 4, int.from_bytes(data[position : position + 4], "little"))

    def widened(self, data: bytes, tokens: list[Token], constants: dict[str, Any]) -> Template | None:
        """A template that also matches this file, or None where its layout is another."""
        if len(tokens) != len(self.tokens):
            return None
        different = set(self.variable)
        for n, (mine, other) in enumerate(zip(self.tokens, tokens, strict=True)):
            if (mine.prefix, mine.width, mine.tag, mine.vr) != (other.prefix, other.width, other.tag, other.vr):
                return None
            if n == len(tokens) - 1:
                break
            if self.data[mine.start : mine.start + mine.prefix] != data[other.start : other.start + other.prefix]:
                return None
            if self.data[mine.start + mine.prefix : mine.end] != data[other.start + other.prefix : other.end]:
                if mine.width == 0 or mine.tag in _FIXED or _is_creator(mine.tag):
                    return None
                different.add(n)
        if self.data[:132] != data[:132]:
            return None
        return Template(data, tokens, frozenset(different), constants, self.keyword)


#: What decides how other values are read: another value is another layout.
_FIXED = frozenset({0x00020002, 0x00020010, 0x00080005, 0x00280103, 0x00280100, 0x00080070})


def _is_creator(tag: int) -> bool:
    return bool(tag >> 16 & 1) and 0x10 <= tag & 0xFFFF <= 0xFF


class Repeats:
    """The templates of one scan. Shared by its threads: templates are never changed, only replaced.

    Parameters
    ----------
    memory : dict
        Decoded values, shared with the walk.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._templates: tuple[tuple[Template, str], ...] = ()  # with the transfer syntax
        self._window = 0
        self._hits = self._misses = 0

    def read(self, path: str) -> tuple[dict[str, Any], str, tuple[str, int, int | None, str]] | None:
        """(values, transfer syntax, pixels as in `Found`) of a file that repeats another, or None.

        Raises
        ------
        FormatError
            As `gpukit.dicom.reader.values.decode_values`.
        """
        if not self._templates:
            return None
        try:
            data = _read_start(path, self._window)
        except OSError:
            return None  # the walk tells what is wrong
        for number, (template, syntax) in enumerate(self._templates):
            match = template.match(data)
            if match is not None:
                if number:
                    self._templates = (
                        self._templates[number],
                        *self._templates[:number],
                        *self._templates[number + 1 :],
                    )
                self._hits += 1
                values = decode_changed(
                    match.changed, template.constants, template.creators, template.charset, path, self._memory
                )
                length = None if match.length == 0xFFFFFFFF else match.length
                return values, syntax, (template.keyword, match.end, length, template.vr)
        return None

    def learn(self, path: str, found: Found, values: dict[str, Any]) -> None:
        """Remember the layout of a file that was walked in full."""
        self._misses += 1
        if found.pixels is None or found.pixels[1] > _MAX_WINDOW or not _is_plain(found):
            return
        if self._misses > _PATIENCE and self._hits < 2 * self._misses:
            return  # these files do not repeat: learning would only cost
        try:
            data = _read_start(path, found.pixels[1] + 1024)
        except OSError:
            return
        tokens = tokenize(data, found.pixels[1]) if data[128:132] == b"DICM" else None
        if tokens is None:
            return
        syntax = found.transfer_syntax
        for number, (template, known) in enumerate(self._templates):
            wider = template.widened(data, tokens, values) if known == syntax else None
            if wider is not None:
                others = [t for n, t in enumerate(self._templates) if n != number]
                self._templates = ((wider, syntax), *others)
                break
        else:
            fresh = Template(data, tokens, frozenset(), values, found.pixels[0])
            self._templates = ((fresh, syntax), *self._templates[: _MAX_TEMPLATES - 1])
        self._window = max(t.tokens[-1].end for t, _ in self._templates) + 2048


_MAX_TEMPLATES = 4
_MAX_WINDOW = 128 << 10
_PATIENCE = 40


def _is_plain(found: Found) -> bool:
    """Whether a file is explicit little endian throughout."""
    syntax = found.transfer_syntax
    plain = syntax == EXPLICIT or syntax.startswith("1.2.840.10008.1.2.4.") or syntax == "1.2.840.10008.1.2.5"
    explicit = bool(found.values) and found.values[0][1] != ""
    return plain and explicit and not found.big_endian and found.deflated_from is None


def _read_start(path: str, length: int) -> bytes:
    """The first bytes of a file."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        return os.read(descriptor, length)
    finally:
        os.close(descriptor)
