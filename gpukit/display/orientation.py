"""Letters of directions in the patient, as viewers write them at the borders of an image (PS3.3 C.7.6.1.1.1)."""

from __future__ import annotations

from collections.abc import Sequence

from gpukit.dicom.image.frame import Frame

__all__ = ["border_letters", "direction_letters", "opposite"]

_PAIRS = (("L", "R"), ("P", "A"), ("H", "F"))
_OPPOSITE = {a: b for pair in _PAIRS for a, b in (pair, pair[::-1])}
#: A direction within about 6 degrees of an axis has one letter.
_LEAST = 0.1


def direction_letters(direction: Sequence[float]) -> str:
    """Letters of a direction in LPS, the strongest first, such as ``LP``; empty for no direction."""
    parts = []
    for value, (positive, negative) in zip(direction, _PAIRS, strict=True):
        if abs(value) > _LEAST:
            parts.append((-abs(value), positive if value > 0 else negative))
    return "".join(letter for _, letter in sorted(parts))


def opposite(letters: str) -> str:
    """Letters of the opposite direction; letters of animals and unknown ones give none."""
    return "".join(_OPPOSITE[letter] for letter in letters) if all(letter in _OPPOSITE for letter in letters) else ""


def border_letters(frame: Frame) -> tuple[str, str, str, str]:
    """Letters at the left, right, upper and lower border of a frame; empty where the file does not tell."""
    orientation = frame.plane.orientation
    if orientation is not None:
        right, lower = direction_letters(orientation[:3]), direction_letters(orientation[3:])
    else:
        value = frame.get("PatientOrientation")
        words = [str(word).strip().upper() for word in value] if isinstance(value, (tuple, list)) else []
        if len(words) != 2 or not all(word.isalpha() and len(word) <= 3 for word in words):
            return "", "", "", ""
        right, lower = words
    return opposite(right), right, opposite(lower), lower
