"""Histograms drawn: as text for a terminal, and as a PNG."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from os import PathLike
from typing import Any

from gpukit.documents.atomic import atomic_path
from gpukit.files.pillow import font, pillow
from gpukit.findings.measurement import UNITS

__all__ = ["draw_text", "write_histogram"]

_BLOCKS = " ▏▎▍▌▋▊▉█"
_WIDTH = 40
_MOST_LINES = 40
_SIZE = (960, 540)
_MARGINS = (90, 40, 30, 70)  # left, top, right, bottom
_INK, _BAR, _GRID = (32, 32, 32), (70, 110, 160), (224, 224, 224)


def draw_text(histogram: Mapping[str, Any]) -> list[str]:
    """One line a bin: its lower edge, a bar in proportion to its count, the count.

    Parameters
    ----------
    histogram : mapping
        ``edges``, ``counts``, ``unit`` and ``bins``, as `gpukit.measure.intensity.features.binned` gives them. More
        than 40 bins are drawn in groups of neighbours.
    """
    edges, counts = list(histogram["edges"]), [int(n) for n in histogram["counts"]]
    group = -(-len(counts) // _MOST_LINES)
    if group > 1:
        counts = [sum(counts[n : n + group]) for n in range(0, len(counts), group)]
        edges = [*edges[:-1:group], edges[-1]]
    texts = [f"{edge:.6g}" for edge in edges[:-1]]
    wide, most = max(map(len, texts)), max(counts) or 1
    unit = UNITS.get(histogram["unit"], histogram["unit"])
    lines = [f"from {unit}".rstrip() + f" (up to {edges[-1]:.6g}), {histogram['bins']}"]
    for text, count in zip(texts, counts, strict=True):
        eighths = round(8 * _WIDTH * count / most) or (1 if count else 0)
        bar = "█" * (eighths // 8) + _BLOCKS[eighths % 8].strip()
        lines.append(f"{text.rjust(wide)} |{bar.ljust(_WIDTH)} {count}")
    return lines


def write_histogram(
    histogram: Mapping[str, Any], path: str | PathLike[str], *, title: str = "", force: bool = False
) -> None:
    """Draw a histogram as a PNG of 960 x 540 pixels: bars, counts to the left, values below.

    Raises
    ------
    OutputExistsError
        The file exists and `force` is false.
    DependencyError
        Pillow is missing.
    """
    image_module, draw_module = pillow()
    edges, counts = list(histogram["edges"]), list(histogram["counts"])
    x_margin, top, right, bottom = _MARGINS
    x0, y0, x1, y1 = x_margin, top, _SIZE[0] - right, _SIZE[1] - bottom
    image = image_module.new("RGB", _SIZE, (255, 255, 255))
    pen = draw_module.Draw(image)
    letters = font(15)
    steps = _ticks(0, max(counts) or 1)
    highest = max(steps[-1], max(counts) or 1)
    for value in steps:
        y = y1 - (y1 - y0) * value / highest
        pen.line((x0, y, x1, y), fill=_GRID)
        pen.text((x0 - 8, y), f"{value:g}", fill=_INK, font=letters, anchor="rm")
    low, span = edges[0], edges[-1] - edges[0]
    for n, count in enumerate(counts):
        a, b = (x0 + (x1 - x0) * (edges[n + m] - low) / span for m in (0, 1))
        if count:
            height = max(1.0, (y1 - y0) * count / highest)
            pen.rectangle((round(a), round(y1 - height), max(round(a), round(b) - 1), y1), fill=_BAR)
    for value in _ticks(edges[0], edges[-1]):
        x = x0 + (x1 - x0) * (value - low) / span
        pen.line((x, y1, x, y1 + 5), fill=_INK)
        pen.text((x, y1 + 8), f"{value:g}", fill=_INK, font=letters, anchor="mt")
    pen.line((x0, y1, x1, y1), fill=_INK)
    unit = UNITS.get(histogram["unit"], histogram["unit"])
    pen.text(((x0 + x1) / 2, _SIZE[1] - 12), f"{unit}  ({histogram['bins']})", fill=_INK, font=letters, anchor="mb")
    pen.text((x0, 12), title or "voxels", fill=_INK, font=letters, anchor="lt")
    with atomic_path(path, force=force) as temporary:
        image.save(temporary, format="PNG")


def _ticks(low: float, high: float, most: int = 6) -> Sequence[float]:
    """Round numbers between two ends, the first not below `low`."""
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= raw * (1 - 1e-9))
    first = math.ceil(low / step - 1e-9)
    count = math.floor((high - first * step) / step + 1e-9)
    return [round((first + n) * step, 12) for n in range(count + 1)]
