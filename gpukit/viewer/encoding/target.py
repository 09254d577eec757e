"""A picture as bytes for a terminal, by the mode."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gpukit.viewer.encoding.cells import CellGrid, ascii_lines, cell_grid, encode
from gpukit.viewer.layout import CELL, SUBCELLS
from gpukit.viewer.picture import Label, Picture, burn_labels
from gpukit.viewer.text import cut, width_of

__all__ = ["Target", "picture_bytes", "picture_grid", "picture_lines"]


@dataclass(frozen=True)
class Target:
    """What the bytes are for.

    Parameters
    ----------
    mode : str
        ``ascii``, ``ansi``, ``iterm2``, ``kitty`` or ``sixel``.
    quality, colors, cells : str
        As `gpukit.viewer.options.ViewOptions`.
    cell : (width, height)
        Pixels of a cell.
    shared : bool
        kitty: hand pixels over in shared memory.
    compress : bool
        kitty: fewer bytes, for a terminal on another machine.
    tmux : bool
        kitty: by placeholders, through tmux.
    utf8 : bool
        Whether other letters than ASCII's arrive.
    """

    mode: str = "ansi"
    quality: str = "high"
    colors: str = "24bit"
    cells: str = "half"
    cell: tuple[int, int] = CELL
    shared: bool = False
    compress: bool = True
    tmux: bool = False
    utf8: bool = True

    @property
    def is_text(self) -> bool:
        """Whether the picture is lines of cells."""
        return self.mode in ("ascii", "ansi")

    @property
    def points(self) -> tuple[int, int]:
        """Picture points of a cell."""
        if self.mode == "ascii":
            return SUBCELLS["ascii"]
        return SUBCELLS[self.cells] if self.mode == "ansi" else self.cell


def picture_lines(picture: Picture, target: Target) -> list[bytes]:
    """Lines of a picture in cells."""
    if target.mode == "ascii":
        lines = ascii_lines(picture.pixels, target.quality)
        for label in picture.labels:
            _write_ascii(lines, label, target.utf8)
        return [line.encode("utf-8" if target.utf8 else "ascii", "replace") for line in lines]
    return encode(picture_grid(picture, target), target.colors)


def picture_grid(picture: Picture, target: Target) -> CellGrid:
    """Cells of a picture with its words, for the modes of text."""
    if target.mode == "ascii":
        shape = picture.pixels.shape[:2]
        letters = [line.ljust(shape[1]) for line in ascii_lines(picture.pixels, target.quality)]
        chars = np.array([[ord(c) for c in line] for line in letters], np.uint32).reshape(shape)
        grid = CellGrid(chars, np.full((*shape, 3), 200, np.uint8), np.zeros((*shape, 3), np.uint8))
    else:
        grid = cell_grid(picture.pixels, target.cells)
    if picture.labels:
        grid = CellGrid(grid.chars.copy(), _rgb(grid.front), _rgb(grid.back))
        for label in picture.labels:
            _write_cells(grid, label, target.points)
    return grid


def picture_bytes(picture: Picture, target: Target, *, number: int = 0, keep_cursor: bool = False) -> bytes:
    """A picture by a graphics protocol, or its lines with line feeds."""
    if target.is_text:
        return b"".join(line + b"\n" for line in picture_lines(picture, target))
    pixels = burn_labels(picture)
    columns, lines = -(-pixels.shape[1] // target.cell[0]), -(-pixels.shape[0] // target.cell[1])
    if target.mode == "kitty":
        from gpukit.viewer.encoding.graphics import kitty, kitty_placeholders, through_tmux

        if target.tmux:
            number = number or 0x4B4954
            sent = through_tmux(kitty(pixels, number=number, placeholders=(columns, lines)))
            return sent + b"".join(line + b"\n" for line in kitty_placeholders(number, columns, lines))
        data = kitty(pixels, number=number, shared=target.shared, keep_cursor=keep_cursor, compress=target.compress)
        return data + b"\n"
    if target.mode == "iterm2":
        from gpukit.viewer.encoding.graphics import iterm2

        return iterm2(pixels, columns, lines) + b"\n"
    from gpukit.viewer.encoding.sixel import sixel

    return sixel(pixels) + b"\n"


def _rgb(values: np.ndarray) -> np.ndarray:
    return values.copy() if values.ndim == 3 else np.repeat(values[..., None], 3, axis=2)


def _start(label: Label, column: float, columns: int) -> int:
    wide = width_of(label.text)
    begin = round(column - {"l": 0.0, "m": wide / 2, "r": float(wide)}[label.anchor])
    return max(0, min(begin, columns - wide))


def _write_ascii(lines: list[str], label: Label, utf8: bool) -> None:
    row = min(max(0, int(label.y)), len(lines) - 1)
    columns = max(1, *(len(line) for line in lines), int(label.x) + 1)
    at = _start(label, label.x, columns)
    text = cut(label.text if utf8 else label.text.encode("ascii", "replace").decode(), columns - at)
    line = lines[row].ljust(at)
    lines[row] = line[:at] + text + line[at + width_of(text) :]


def _write_cells(grid: CellGrid, label: Label, points: tuple[int, int]) -> None:
    lines, columns = grid.chars.shape
    row = min(max(0, int(label.y / points[1])), lines - 1)
    at = _start(label, label.x / points[0], columns)
    for char in cut(label.text, columns - at):
        wide = width_of(char)
        if wide != 1:  # a wide or combining letter cannot share cells with the picture
            char, wide = "?", 1
        grid.chars[row, at] = ord(char)
        grid.front[row, at] = label.color
        grid.back[row, at] = grid.back[row, at] // 3
        at += 1
