"""Pictures in cells of text: half blocks, quadrants, sextants, braille and letters; each a few array operations."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gpukit.viewer.encoding.colors import sgr

__all__ = ["CELLS", "RAMPS", "CellGrid", "ascii_lines", "cell_grid", "encode"]

#: Kinds of cells that show colour.
CELLS = ("half", "quadrant", "sextant", "braille")

#: Letters from dark to bright on a dark screen, and the per cent of a cell that each covers of what the fullest one
#: does (DejaVu Sans Mono, measured).
RAMPS = {
    "low": (" '~*?1%G#M", (0, 12, 21, 35, 45, 56, 66, 78, 89, 100)),
    "high": (
        " `.',:~_;!*r+|?lvztTuyIo3haSPEmAU69HgDR@M",
        (
            0,
            8,
            10,
            12,
            16,
            20,
            21,
            24,
            26,
            31,
            35,
            38,
            39,
            43,
            45,
            47,
            50,
            52,
            53,
            56,
            59,
            61,
            62,
            65,
            68,
            69,
            71,
            72,
            76,
            78,
            78,
            80,
            80,
            84,
            85,
            86,
            87,
            88,
            91,
            97,
            100,
        ),
    ),
}

_RESET = b"\x1b[0m"
#: Bits of a quadrant's four parts (upper left, upper right, lower left, lower right) to its character.
_QUADRANTS = " ▘▝▀▖▌▞▛▗▚▐▜▄▙▟█"
_BRAILLE_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.int64)


@dataclass(frozen=True, eq=False)
class CellGrid:
    """What each cell of a picture shows.

    Parameters
    ----------
    chars : array of uint32, ``[line, column]``
        Code points.
    front, back : array of uint8, ``[line, column]`` or ``[line, column, 3]``
        Colours of the character and behind it; one number for grey.
    """

    chars: NDArray[np.uint32]
    front: NDArray[np.uint8]
    back: NDArray[np.uint8]


def cell_grid(picture: NDArray[np.uint8], kind: str = "half") -> CellGrid:
    """Cells of a picture.

    Parameters
    ----------
    picture : array of uint8, ``[row, column]`` or ``[row, column, 3]``
        Already of the size in parts of cells, see `gpukit.viewer.layout.SUBCELLS`.
    kind : str
        One of `CELLS`. Half blocks are exact; the others choose for each cell the two colours and the shape that are
        nearest to its parts.
    """
    across, down = {"half": (1, 2), "quadrant": (2, 2), "sextant": (2, 3), "braille": (2, 4)}[kind]
    picture = _padded(picture, across, down)
    lines, columns = picture.shape[0] // down, picture.shape[1] // across
    if kind == "half":
        chars = np.full((lines, columns), ord("▀"), np.uint32)
        return CellGrid(chars, picture[0::2], picture[1::2])
    depth = picture.shape[2:]
    tiles = picture.reshape(lines, down, columns, across, *depth).swapaxes(1, 2)
    parts: NDArray[np.float32] = tiles.reshape(lines, columns, down * across, -1).astype(np.float32)
    shape, front, back = _two_colors(parts)
    front, back = front.reshape(lines, columns, *depth), back.reshape(lines, columns, *depth)
    if kind == "quadrant":
        code = (shape * (1 << np.arange(4))).sum(axis=2)
        chars = np.array([ord(c) for c in _QUADRANTS], np.uint32)[code]
    elif kind == "sextant":
        chars = _sextants()[(shape * (1 << np.arange(6))).sum(axis=2)]
    else:
        chars = (0x2800 + (shape * _BRAILLE_BITS.ravel()).sum(axis=2)).astype(np.uint32)
    return CellGrid(chars, front, back)


def _two_colors(parts: NDArray[np.float32]) -> tuple[NDArray[np.bool_], NDArray[np.uint8], NDArray[np.uint8]]:
    """Split the parts ``[line, column, part, c]`` of each cell by brightness where the error is least."""
    grey = parts.mean(axis=3)
    order = np.argsort(grey, axis=2)
    n = grey.shape[2]
    sorted_parts = np.take_along_axis(parts, order[..., None], axis=2)
    sums, squares = np.cumsum(sorted_parts, axis=2), np.cumsum(sorted_parts**2, axis=2).sum(axis=3)
    total, total_squares = sums[:, :, -1:, :], squares[:, :, -1:]
    below = np.arange(1, n, dtype=np.float32).reshape(1, 1, -1, 1)
    low, high = sums[:, :, :-1] / below, (total - sums[:, :, :-1]) / (n - below)
    error = total_squares - (below * low**2 + (n - below) * high**2).sum(axis=3)
    best = np.argmin(error, axis=2)[..., None]
    rank = np.argsort(order, axis=2)
    shape = rank > best
    pick = best[..., None]
    front, back = np.take_along_axis(high, pick, axis=2)[:, :, 0], np.take_along_axis(low, pick, axis=2)[:, :, 0]
    return shape, np.rint(front).astype(np.uint8), np.rint(back).astype(np.uint8)


def _sextants() -> NDArray[np.uint32]:
    """Characters of the 64 sextants (Unicode 13): empty, left half, right half and full have older code points."""
    codes, following = [], 0x1FB00
    for bits in range(64):
        older = {0: 0x20, 0b010101: 0x258C, 0b101010: 0x2590, 63: 0x2588}.get(bits)
        if older is None:
            codes.append(following)
            following += 1
        else:
            codes.append(older)
    return np.array(codes, np.uint32)


def _padded(picture: NDArray[np.uint8], across: int, down: int) -> NDArray[np.uint8]:
    """With black below and to the right up to whole cells."""
    rows, columns = -picture.shape[0] % down, -picture.shape[1] % across
    if not rows and not columns:
        return picture
    return np.pad(picture, ((0, rows), (0, columns), *((0, 0),) * (picture.ndim - 2)))


def encode(grid: CellGrid, colors: str = "24bit") -> list[bytes]:
    """Lines of bytes with colours by SGR; each line begins and ends with the terminal's own colours.

    Parameters
    ----------
    grid : CellGrid
        Of `cell_grid`.
    colors : str
        ``24bit``, ``256`` or ``16``.
    """
    chars = _utf8(grid.chars)
    front, back = sgr(grid.front, colors, back=False), sgr(grid.back, colors, back=True)
    parts = [_constant(b"\x1b[", grid), front, _constant(b";", grid), back, _constant(b"m", grid), chars]
    cell = np.concatenate(parts, axis=2)
    lines = cell.reshape(cell.shape[0], -1)
    if (chars == 0).any():
        return [line[line != 0].tobytes() + _RESET for line in lines]
    return [line.tobytes() + _RESET for line in lines]


def _constant(text: bytes, grid: CellGrid) -> NDArray[np.uint8]:
    return np.broadcast_to(np.frombuffer(text, np.uint8), (*grid.chars.shape, len(text)))


def _utf8(chars: NDArray[np.uint32]) -> NDArray[np.uint8]:
    """Bytes of code points, padded with zeros in front to the length of the longest."""
    codes = sorted(set(chars.ravel().tolist()))  # np.unique would import masked arrays
    texts = [chr(code).encode() for code in codes]
    width = max(map(len, texts))
    table = np.array([list(text.rjust(width, b"\0")) for text in texts], np.uint8)
    if len(codes) == 1:
        return np.broadcast_to(table[0], (*chars.shape, width))
    return table[np.searchsorted(np.array(codes, np.uint32), chars)]


def ascii_lines(picture: NDArray[np.uint8], quality: str = "high", *, dark: bool = True) -> list[str]:
    """Lines of letters, brighter ones for brighter points (`dark`: on a dark screen).

    Parameters
    ----------
    picture : array of uint8, ``[row, column]`` or ``[row, column, 3]``
        One point a letter.
    quality : str
        ``low`` (10 letters) or ``high``.
    """
    grey = picture if picture.ndim == 2 else np.rint(picture @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    letters = _letters(quality)[grey if dark else 255 - grey]
    return [line.tobytes().decode("ascii").rstrip() for line in letters]


@functools.cache
def _letters(quality: str) -> NDArray[np.uint8]:
    """The letter for each of 256 levels: the one whose share of a cell is nearest."""
    ramp, shares = RAMPS[quality]
    levels = np.arange(256)[:, None] * (100 / 255)
    nearest = np.abs(levels - np.array(shares)).argmin(axis=1)
    return np.asarray(np.array([ord(c) for c in ramp], np.uint8)[nearest])


def joined(lines: Sequence[bytes]) -> bytes:
    """Lines with line feeds."""
    return b"".join(line + b"\n" for line in lines)
