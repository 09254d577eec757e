"""Which characters the fonts at hand can draw: asked before a PDF is made, so that no glyph is ever missing in it."""

from __future__ import annotations

import importlib.util
import struct
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

__all__ = ["FAMILIES", "coverage_of_file", "fonts_of", "uncovered"]

#: Families for running text; of those that a machine lacks the next one is taken, the last ones come with typst.
FAMILIES = (
    "Noto Sans", "DejaVu Sans", "Liberation Sans", "Segoe UI", "Helvetica Neue", "Arial", "Noto Sans Arabic",
    "Noto Naskh Arabic", "Noto Sans Hebrew", "Noto Sans Thai", "Noto Sans CJK JP", "Noto Sans JP", "Yu Gothic",
    "Hiragino Sans", "Microsoft YaHei", "Malgun Gothic", "Libertinus Serif", "DejaVu Sans Mono",
)  # fmt: skip
#: Packages with fonts, each a folder of them.
_FONT_PACKAGES = ("cvttf_NotoSansCJK_Regular",)
#: What every font that typst brings along has.
_PLAIN = frozenset(map(chr, [*range(0x20, 0x7F), *range(0xA0, 0x180), *range(0x391, 0x3CA), *range(0x410, 0x450)])) - {
    "\u01a2",
    "\u03a2",
}
_MOST_BYTES = 64 << 20


@lru_cache(4)
def fonts_of(folders: tuple[Path, ...]) -> Any:
    """The fonts of the system, of `folders` and of font packages, as typst takes them."""
    import typst

    paths = [str(folder) for folder in folders]
    for name in _FONT_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is not None and spec.submodule_search_locations:
            paths += list(spec.submodule_search_locations)
    return typst.Fonts(include_system_fonts=True, include_embedded_fonts=True, font_paths=paths)


def uncovered(text: Iterable[str], folders: tuple[Path, ...]) -> set[str]:
    """Characters of a text that no font has.

    Parameters
    ----------
    text : iterable of str
    folders : tuple of Path
        With further fonts.
    """
    missing = {sign for words in text for sign in set(words)} - _PLAIN - {"\n", "\t"}
    if not missing:
        return missing
    files: dict[tuple[str, int], str] = {}
    for font in fonts_of(folders).fonts():
        if font.path:
            files.setdefault((font.path, font.index), font.family)
    preferred = sorted(files, key=lambda key: (FAMILIES.index(files[key]) if files[key] in FAMILIES else 99, key))
    for path, index in preferred:
        starts, ends = coverage_of_file(path, index)
        missing -= {sign for sign in missing if _inside(ord(sign), starts, ends)}
        if not missing:
            break
    return missing


def _inside(code: int, starts: Sequence[int], ends: Sequence[int]) -> bool:
    place = bisect_right(starts, code) - 1
    return place >= 0 and code <= ends[place]


@lru_cache(4096)
def coverage_of_file(path: str, index: int = 0) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Ranges of characters that a TrueType or OpenType font has, by its ``cmap``; empty if it can't be read."""
    try:
        with Path(path).open("rb") as stream:
            head = stream.read(12)
            offset = 0
            if head[:4] == b"ttcf":
                count = struct.unpack(">I", head[8:12])[0]
                offset = struct.unpack(">I", stream.read(4 * min(count, 64))[4 * index : 4 * index + 4])[0]
                stream.seek(offset)
                head = stream.read(12)
            tables = stream.read(16 * struct.unpack(">H", head[4:6])[0])
            for n in range(0, len(tables) - 15, 16):
                tag, _, start, length = struct.unpack(">4sIII", tables[n : n + 16])
                if tag == b"cmap" and length <= _MOST_BYTES:
                    stream.seek(start)
                    return _ranges(stream.read(length))
    except (OSError, struct.error, IndexError):
        pass
    return (), ()


def _ranges(cmap: bytes) -> tuple[tuple[int, ...], tuple[int, ...]]:
    best: tuple[int, int] = (0, 0)
    for n in range(struct.unpack(">H", cmap[2:4])[0]):
        platform, encoding, offset = struct.unpack(">HHI", cmap[4 + 8 * n : 12 + 8 * n])
        form = struct.unpack(">H", cmap[offset : offset + 2])[0]
        if form in (4, 12) and (platform == 0 or (platform == 3 and encoding in (1, 10))):
            best = max(best, (form, offset))
    form, offset = best
    pairs: list[tuple[int, int]] = []
    if form == 12:
        count = struct.unpack(">I", cmap[offset + 12 : offset + 16])[0]
        for n in range(min(count, len(cmap) // 12)):
            first, last, glyph = struct.unpack(">III", cmap[offset + 16 + 12 * n : offset + 28 + 12 * n])
            pairs.append((first if glyph else first + 1, last))
    elif form == 4:
        half = struct.unpack(">H", cmap[offset + 6 : offset + 8])[0]
        count = half // 2
        base = offset + 14
        ends = struct.unpack(f">{count}H", cmap[base : base + half])
        starts = struct.unpack(f">{count}H", cmap[base + half + 2 : base + 2 * half + 2])
        deltas = struct.unpack(f">{count}H", cmap[base + 2 * half + 2 : base + 3 * half + 2])
        place = base + 3 * half + 2
        offsets = struct.unpack(f">{count}H", cmap[place : place + half])
        for n, (first, last, delta, shift) in enumerate(zip(starts, ends, deltas, offsets, strict=True)):
            if first == 0xFFFF:
                continue
            if not shift:
                pairs.append((first, last))
                continue
            for code in range(first, last + 1):  # glyph by glyph: some of a range may be missing
                at = place + 2 * n + shift + 2 * (code - first)
                glyph = struct.unpack(">H", cmap[at : at + 2])[0] if at + 2 <= len(cmap) else 0
                if glyph and (glyph + delta) & 0xFFFF:
                    pairs.append((code, code))
    pairs.sort()
    return tuple(first for first, _ in pairs), tuple(last for _, last in pairs)
