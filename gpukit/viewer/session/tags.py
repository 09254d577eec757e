"""The attributes of a file as lines of clean text."""

from __future__ import annotations

from typing import Any

from gpukit.dicom.reader.headers import Header
from gpukit.viewer.text import clean

__all__ = ["tag_lines"]

_MOST = 20_000
_SHOWN = 160


def tag_lines(header: Header, *, patient: bool = True) -> list[str]:
    """One line for each attribute, sequences indented; without the person where `patient` is false.

    Raises
    ------
    FormatError
        The header cannot be read.
    """
    lines: list[str] = []
    _walk(header.dataset(), 0, patient, lines)
    return lines


def _walk(dataset: Any, depth: int, patient: bool, lines: list[str]) -> None:
    for element in dataset:
        if len(lines) >= _MOST:
            return
        if not patient and element.tag.group == 0x0010:
            continue
        head = f"{'  ' * depth}({element.tag.group:04X},{element.tag.element:04X}) {element.VR} {clean(element.name)}"
        if element.VR == "SQ":
            lines.append(f"{head}: {len(element.value)} items")
            for item in element.value:
                if depth < 8:
                    _walk(item, depth + 1, patient, lines)
            continue
        if not patient and element.VR == "PN":
            continue
        if element.VR in ("OB", "OW", "OF", "OD", "OL", "OV", "UN") and isinstance(element.value, bytes):
            lines.append(f"{head}: {len(element.value)} bytes")
        else:
            lines.append(f"{head}: {clean(element.value, _SHOWN)}")
