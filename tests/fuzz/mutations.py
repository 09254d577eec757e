"""Damage to files: of bytes, of numbers in text, and of what lies inside compressed containers."""

from __future__ import annotations

import random
import re
import zlib

__all__ = ["mutate"]

_ODD_NUMBERS = (
    b"0", b"-1", b"1", b"2", b"7", b"255", b"65535", b"65536", b"999999999", b"2147483647", b"-2147483648",
    b"4294967295", b"9223372036854775807", b"-9223372036854775808", b"1e308", b"-1e308", b"1e-308", b"nan", b"inf",
    b"1e6", b"0.0", b"",
)  # fmt: skip
_ODD_WORDS = (
    b"", b"null", b"true", b"[]", b"{}", b"../../x", b"/etc/hostname", b"\xff\xfe", b"A" * 3000, b"%s%n", b"\x00",
    "\u0130".encode(), b"[" * 2000, b"{\"a\":" * 1000,
)  # fmt: skip
_SIZES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)


def mutate(data: bytes, chance: random.Random, others: list[bytes]) -> bytes:
    """One to four changes of a file; `others` are files to take pieces of."""
    if data[:2] == b"\x1f\x8b" and chance.random() < 0.5:  # what a gzip holds, so that damage gets past its checksum
        try:
            inner = zlib.decompress(data, 31)
        except zlib.error:
            inner = b""
        if inner:
            maker = zlib.compressobj(1, zlib.DEFLATED, 31)
            return maker.compress(mutate(inner, chance, others)) + maker.flush()
    content = bytearray(data)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 4))):
        chance.choice(_CHANGES)(content, chance, others)
    return bytes(content)


def _place(content: bytearray, chance: random.Random) -> int:
    """Any place, more often near the beginning, where headers are."""
    if not content:
        return 0
    most = len(content) if chance.random() < 0.4 else min(len(content), chance.choice((400, 2000)))
    return chance.randrange(most)


def _flip(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    if content:
        content[_place(content, chance)] ^= 1 << chance.randrange(8)


def _set(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    if content:
        content[_place(content, chance)] = chance.choice((0, 255, 127, 128, 32, chance.randrange(256)))


def _size(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    width = chance.choice((2, 4, 8))
    at = _place(content, chance)
    if at + width <= len(content):
        value = chance.choice(_SIZES) & ((1 << 8 * width) - 1)
        content[at : at + width] = value.to_bytes(width, chance.choice(("little", "big")))


def _delete(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at = _place(content, chance)
    del content[at : at + chance.choice((1, 2, 4, 8, 64))]


def _insert(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at = _place(content, chance)
    content[at:at] = chance.randbytes(chance.choice((1, 2, 4, 16, 300)))


def _repeat(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    at, length = _place(content, chance), chance.choice((2, 8, 40, 400))
    content[at:at] = content[at : at + length] * chance.choice((1, 2, 30))


def _truncate(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    del content[_place(content, chance) :]


def _splice(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    other = chance.choice(others) if others else b""
    if other:
        start = chance.randrange(len(other))
        piece = other[start : start + chance.choice((4, 32, 256, 4096))]
        at = _place(content, chance)
        content[at : at + (len(piece) if chance.random() < 0.5 else 0)] = piece


def _number(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    head = bytes(content[:20000])
    found = list(re.finditer(rb"-?\d+(?:\.\d+)?(?:e[-+]?\d+)?", head))
    if found:
        match = chance.choice(found)
        content[match.start() : match.end()] = chance.choice(_ODD_NUMBERS)


def _word(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    found = list(re.finditer(rb"[A-Za-z_\"][\w .\"-]*", bytes(content[:20000])))
    if found:
        match = chance.choice(found)
        content[match.start() : match.end()] = chance.choice(_ODD_WORDS)


def _line(content: bytearray, chance: random.Random, others: list[bytes]) -> None:
    lines = bytes(content[:20000]).split(b"\n")
    if len(lines) > 1:
        n = chance.randrange(len(lines))
        if chance.random() < 0.5:
            lines[n : n + 1] = [lines[n], lines[n]]
        else:
            del lines[n]
        content[:20000] = b"\n".join(lines)


_CHANGES = (
    _flip,
    _flip,
    _set,
    _set,
    _size,
    _size,
    _delete,
    _insert,
    _repeat,
    _truncate,
    _splice,
    _number,
    _word,
    _line,
)
