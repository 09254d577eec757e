"""Raw bytes of an attribute to a Python value: str, int, float, or a tuple of these (PS3.5 section 6.2)."""

from __future__ import annotations

import math
import struct
from typing import Any

from gpukit.dicom.reader.attributes import BY_TAG, ESSENTIAL
from gpukit.dicom.reader.elements import Found
from gpukit.errors import FormatError

__all__ = ["MEDIA_INSTANCE", "Memory", "Wrong", "creator_key", "decode", "decode_changed", "decode_values"]

#: Values met before in this scan, by everything that decides them: most attributes of a series are the same in every
#: file, so that they are decoded once and their text is held once.
Memory = dict[tuple[int, str, bytes, bool, bytes], Any]

_BINARY = {"US": "H", "SS": "h", "UL": "I", "SL": "i", "FL": "f", "FD": "d", "UV": "Q", "SV": "q"}
_TEXT = frozenset({"SH", "LO", "PN", "LT", "ST", "UT", "UC"})
_WHOLE = frozenset({"LT", "ST", "UT"})  # a backslash is a character
#: Their VR is US or SS after PixelRepresentation; writers get it wrong, and in implicit VR it is not there.
_FOLLOW_REPRESENTATION = (
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "SmallestImagePixelValue",
    "LargestImagePixelValue",
)
MEDIA_INSTANCE = 0x00020003
_META = {0x00020002: "SOPClassUID", MEDIA_INSTANCE: "SOPInstanceUID"}


def decode_values(found: Found, file: str, memory: Memory) -> dict[str, Any]:
    """Values by keyword.

    Raises
    ------
    FormatError
        A number on which pixels or geometry depend is none, or is not finite. A wrong number elsewhere is left out.
    """
    return _decode_all(found.values, found.meta, {}, {}, b"", found.big_endian, file, memory)


def decode_changed(
    changed: list[tuple[int, str, bytes]],
    constants: dict[str, Any],
    creators: dict[int, str],
    charset: bytes,
    file: str,
    memory: Memory,
) -> dict[str, Any]:
    """Values of a file that differs from `constants` in the elements `changed`, else as `decode_values`."""
    meta = {}
    if changed and changed[0][0] == MEDIA_INSTANCE:
        meta[MEDIA_INSTANCE] = changed[0][2]
        changed = changed[1:]
    return _decode_all(changed, meta, constants, creators, charset, False, file, memory)


def creator_key(tag: int) -> int:
    """Group and block of a private creator's own tag, as `creators` is keyed."""
    return (tag >> 16) << 8 | (tag & 0xFF)


def _decode_all(
    raw_values: list[tuple[int, str, bytes]],
    meta: dict[int, bytes],
    constants: dict[str, Any],
    known_creators: dict[int, str],
    charset: bytes,
    big: bool,
    file: str,
    memory: Memory,
) -> dict[str, Any]:
    values = dict(constants)
    creators = dict(known_creators)
    for tag, vr, raw in raw_values:
        wanted = BY_TAG.get(tag)
        if wanted is None:
            creators[creator_key(tag)] = raw.decode("ascii", "replace").strip(" \0")
            continue
        if tag == 0x00080005:
            charset = raw
        if wanted.creator:
            creator = creators.get((tag >> 16) << 8 | (tag >> 8 & 0xFF), "")
            maker = wanted.maker if not creator else ""
            stripped = maker and str(values.get("Manufacturer", "")).upper().startswith(maker)
            if not (stripped or creator.startswith(wanted.creator)):
                continue
        key = (tag, vr, raw, big, charset)
        value = memory.get(key, memory)
        if value is memory:
            kind = vr if vr not in ("", "UN") else wanted.vr
            value = decode(raw, kind, wanted.many, ">" if big else "<", charset)
            if len(memory) < 200_000:
                memory[key] = value
        if value is None:
            continue
        if isinstance(value, Wrong):
            if wanted.keyword in ESSENTIAL:
                raise FormatError(value.why, file=file, attribute=wanted.keyword, fix="correct the file")
            continue
        values[wanted.keyword] = value
    _follow_representation(values)
    for tag, keyword in _META.items():
        if keyword not in values and (uid := meta.get(tag, b"").rstrip(b" \0").decode("ascii", "replace")):
            values[keyword] = uid
    return values


class Wrong:
    """A value that is not what its VR says."""

    def __init__(self, why: str) -> None:
        self.why = why


def decode(raw: bytes, vr: str, many: bool, order: str, charset: bytes) -> Any:
    """Value of an attribute's bytes: a tuple where `many`, None where it is empty, or `Wrong`."""
    if vr in _BINARY:
        code = _BINARY[vr]
        count = len(raw) // struct.calcsize(code)
        if not count:
            return Wrong(f"{len(raw)} bytes are too few for a value")
        numbers = struct.unpack_from(f"{order}{count}{code}", raw)
        if vr in ("FL", "FD") and not all(map(math.isfinite, numbers)):
            return Wrong("the value is not finite")
        return _shape(numbers, many)
    if vr in ("OB", "OW", "OF", "OD", "OL", "OV", "SQ"):
        return 1 if raw or vr != "SQ" else None  # only its presence is wanted
    if vr in ("DS", "IS"):
        return _numbers(raw, vr, many)
    if vr == "AT":
        return tuple(f"{g:04X}{e:04X}" for g, e in struct.iter_unpack(order + "HH", raw[: len(raw) // 4 * 4]))
    text = _text(raw, charset if vr in _TEXT else b"")
    if vr in _WHOLE:
        return text.rstrip(" \0") or None
    if not many:
        return text.strip(" \0") or None
    parts = tuple(part.strip(" \0") for part in text.split("\\"))
    return parts if any(parts) else None


def _numbers(raw: bytes, vr: str, many: bool) -> Any:
    text = raw.decode("ascii", "replace").strip(" \0")
    if not text:
        return None
    numbers: list[int | float] = []
    for part in text.split("\\"):
        try:
            number = float(part)
        except ValueError:
            return Wrong(f"{part.strip()[:32]!r} is no number")
        if not math.isfinite(number) or "_" in part:
            return Wrong(f"{part.strip()[:32]!r} is no finite number")
        if vr == "IS":
            if number != int(number) or abs(number) > 2**53:
                return Wrong(f"{part.strip()[:32]!r} is no whole number")
            numbers.append(int(number))
        else:
            numbers.append(number)
    return _shape(tuple(numbers), many)


def _shape(numbers: tuple[Any, ...], many: bool) -> Any:
    if many:
        return numbers
    return numbers[0] if len(numbers) == 1 else Wrong(f"{len(numbers)} values where one is allowed")


def _text(raw: bytes, charset: bytes) -> str:
    if raw.isascii() and b"\x1b" not in raw:
        return raw.decode("ascii")
    if not charset:
        return raw.decode("latin-1")
    from pydicom.charset import convert_encodings, decode_bytes

    names = [name.strip(" \0") for name in charset.decode("ascii", "replace").split("\\")]
    try:
        return decode_bytes(raw, convert_encodings(names), {ord("\\"), ord("^"), ord("=")})
    except Exception:  # an unknown or damaged character set must not cost the image
        return raw.decode("latin-1")


def _follow_representation(values: dict[str, Any]) -> None:
    bits = values.get("BitsAllocated", 16)
    if bits not in (8, 16, 32):
        return
    signed = values.get("PixelRepresentation", 0) == 1
    for keyword in _FOLLOW_REPRESENTATION:
        value = values.get(keyword)
        if isinstance(value, int):
            if signed and value >= 1 << (bits - 1):
                values[keyword] = value - (1 << bits)
            elif not signed and value < 0:
                values[keyword] = value + (1 << bits)
