"""Text of a data set by its Specific Character Set (PS3.5 chapter 6), lenient about undeclared ones."""

from __future__ import annotations

from functools import lru_cache

__all__ = ["ASCII", "declared", "decode"]

ASCII: tuple[str, ...] = ("",)
_ESCAPE = b"\x1b"
#: Values that end the effect of an escape sequence.
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C}


def declared(raw: bytes) -> tuple[str, ...]:
    """Defined terms of SpecificCharacterSet (0008,0005)."""
    words = raw.decode("ascii", "replace").rstrip("\0 ").split("\\")
    return tuple(word.strip() for word in words)


def decode(raw: bytes, terms: tuple[str, ...], *, is_name: bool = False) -> tuple[str, bool]:
    """Text without padding, and whether all its bytes were valid.

    Parameters
    ----------
    raw : bytes
    terms : tuple of str
        From `declared`.
    is_name : bool
        PN: ``^`` and ``=`` end escape sequences too.
    """
    if raw.isascii() and _ESCAPE not in raw:
        return raw.decode("ascii").rstrip("\0 "), True
    encodings = _encodings(terms)
    if not any(terms):
        for encoding in ("utf-8", "latin-1"):
            try:
                return raw.decode(encoding).rstrip("\0 "), False
            except UnicodeDecodeError:
                continue
    if len(encodings) == 1 and _ESCAPE not in raw:
        try:
            return raw.decode(encodings[0]).rstrip("\0 "), True
        except (UnicodeDecodeError, LookupError):
            return raw.decode(encodings[0], "replace").rstrip("\0 "), False
    import warnings

    from pydicom.charset import decode_bytes

    delimiters = _DELIMITERS | ({0x5E, 0x3D} if is_name else {0x5C} - {0x5C})
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            text = decode_bytes(raw, list(encodings), delimiters)
        except Exception:  # pydicom raises several kinds for bytes that no set has
            return raw.decode(encodings[0], "replace").rstrip("\0 "), False
    return text.rstrip("\0 "), not caught


@lru_cache(64)
def _encodings(terms: tuple[str, ...]) -> tuple[str, ...]:
    import warnings

    from pydicom.charset import convert_encodings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return tuple(convert_encodings(list(terms) if len(terms) > 1 else terms[0]))
        except (LookupError, ValueError):
            return ("utf-8",)
