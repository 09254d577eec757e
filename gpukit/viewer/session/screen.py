"""A screen of cells that sends only what changed, in runs, and stops sending as soon as a key is pressed."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from gpukit.viewer.encoding.cells import CellGrid
from gpukit.viewer.encoding.colors import sgr
from gpukit.viewer.text import width_of

__all__ = ["Screen", "blank", "put_grid", "put_text"]

#: Bytes that are written before input is looked at again.
_PIECE = 1024
#: Frames of fewer bytes are shown at once by terminals that can.
_AT_ONCE = 32 << 10
_SYNC, _SYNCED = b"\x1b[?2026h", b"\x1b[?2026l"


def blank(columns: int, lines: int) -> CellGrid:
    """Cells of blanks."""
    shape = (lines, columns)
    return CellGrid(
        np.full(shape, 0x20, np.uint32), np.full((*shape, 3), 200, np.uint8), np.zeros((*shape, 3), np.uint8)
    )


def put_grid(screen: CellGrid, grid: CellGrid, line: int, column: int) -> None:
    """Copy cells to a place on a screen; what has no room is cut off."""
    lines = min(grid.chars.shape[0], screen.chars.shape[0] - line)
    columns = min(grid.chars.shape[1], screen.chars.shape[1] - column)
    if lines <= 0 or columns <= 0:
        return
    at = (slice(line, line + lines), slice(column, column + columns))
    screen.chars[at] = grid.chars[:lines, :columns]
    for there, part in ((screen.front, grid.front), (screen.back, grid.back)):
        piece = part[:lines, :columns]
        there[at] = piece if piece.ndim == 3 else piece[..., None]


def put_text(
    screen: CellGrid, line: int, column: int, text: str, color: tuple[int, int, int] = (200, 200, 200)
) -> None:
    """Write words at a place; wide characters take two cells, what has no room is cut off."""
    lines, columns = screen.chars.shape
    if not 0 <= line < lines:
        return
    for char in text:
        wide = width_of(char)
        if wide == 0:
            continue
        if column + wide > columns:
            return
        if column >= 0:
            screen.chars[line, column] = ord(char)
            screen.front[line, column] = color
            screen.back[line, column] = 0
            if wide == 2:
                screen.chars[line, column + 1] = 0  # belongs to the character before
                screen.front[line, column + 1], screen.back[line, column + 1] = color, 0
        column += wide


class Screen:
    """What a terminal shows now, and what it should show.

    Parameters
    ----------
    fd_in, fd_out, wake : int
        The terminal, and a descriptor that signals make readable.
    colors : str
        ``24bit``, ``256``, ``16`` or ``none``.
    utf8 : bool
        Whether more than ASCII arrives.
    """

    def __init__(self, fd_in: int, fd_out: int, wake: int, *, colors: str, utf8: bool = True) -> None:
        self._in, self._out, self._wake = fd_in, fd_out, wake
        self.colors, self.utf8 = colors, utf8
        self._now: CellGrid | None = None
        #: Bytes sent, for those who measure.
        self.sent = 0

    def forget(self) -> None:
        """Everything must be sent again: the terminal was resized, or was somebody else's."""
        self._now = None

    def show(self, target: CellGrid, *, tolerance: int = 0) -> bool:
        """Send what differs; False where input came first and the rest was left.

        Parameters
        ----------
        target : CellGrid
            With colours of three parts.
        tolerance : int
            Differences of colours up to this are left as they are, while images move.
        """
        now = self._now  # a signal may forget it at any moment
        if now is None or now.chars.shape != target.chars.shape:
            self._now = now = blank(target.chars.shape[1], target.chars.shape[0])
            now.back[:] = 0
            self._write(b"\x1b[0m\x1b[2J")
            changed = np.ones(target.chars.shape, bool)
            if self.colors == "none":
                changed = target.chars != 0x20
        else:
            changed = self._changed(now, target, tolerance)
        follows = target.chars == 0
        changed[:, :-1] |= changed[:, 1:] & follows[:, 1:]
        lines, columns = np.nonzero(changed & ~follows)
        if not len(lines):
            return self._now is now
        order = np.lexsort((columns, _ranks(target.chars.shape[0])[lines]))
        return self._send(now, target, lines[order], columns[order]) and self._now is now

    def _changed(self, now: CellGrid, target: CellGrid, tolerance: int) -> NDArray[np.bool_]:
        changed: NDArray[np.bool_] = np.asarray(now.chars != target.chars)
        if self.colors == "none":
            return changed
        is_blank = (target.chars == 0x20) & ~changed
        for old, new, matters in (
            (now.front, target.front, ~is_blank),
            (now.back, target.back, target.chars != 0x2588),
        ):
            if tolerance:
                apart = np.abs(old.astype(np.int16) - new).max(axis=2) > tolerance
            else:
                apart = (old != new).any(axis=2)
            changed |= apart & matters
        return changed

    def _send(self, now: CellGrid, target: CellGrid, lines: NDArray[np.intp], columns: NDArray[np.intp]) -> bool:
        data, ends = cell_bytes(target, lines, columns, self.colors, self.utf8)
        at_once = len(data) < _AT_ONCE
        if at_once:
            self._write(_SYNC)
        written = 0
        complete = True
        while written < len(data):
            piece = min(len(data), written + _PIECE)
            if not self._can_write(written > 0):
                complete = False
                break
            piece = int(ends[min(len(ends) - 1, int(np.searchsorted(ends, piece)))])  # whole cells only
            self._write(data[written:piece])
            written = piece
        complete_cells = int(np.searchsorted(ends, written, side="right"))
        at = (lines[:complete_cells], columns[:complete_cells])
        for there, part in ((now.chars, target.chars), (now.front, target.front), (now.back, target.back)):
            there[at] = part[at]
        now.chars[target.chars == 0] = 0
        if at_once:
            self._write(_SYNCED)
        return complete

    def _can_write(self, begun: bool) -> bool:
        """Wait until the terminal takes more; False where a key or a signal came first."""
        while True:
            ready, free, _ = select.select([self._in, self._wake], [self._out], [], 1.0)
            if ready and begun:
                return False
            if free:
                return True
            if ready:
                time.sleep(0.001)

    def _write(self, data: bytes) -> None:
        while data:
            n = os.write(self._out, data)
            self.sent += n
            data = data[n:]

    def write(self, data: bytes, line: int, column: int) -> None:
        """Send a picture's bytes with the cursor at a cell."""
        self._write(f"\x1b[{line + 1};{column + 1}H".encode())
        self._write(data)


def _ranks(lines: int) -> NDArray[np.intp]:
    """In which turn each line is sent: first the last one, with words; then every fourth, second, and the others."""
    n = np.arange(lines)
    ranks = np.where(n % 4 == 0, 1, np.where(n % 2 == 0, 2, 3)) * lines + n
    ranks[-1] = 0
    return ranks


def cell_bytes(
    grid: CellGrid, lines: NDArray[np.intp], columns: NDArray[np.intp], colors: str, utf8: bool = True
) -> tuple[bytes, NDArray[np.int64]]:
    """Bytes that draw some cells in their order, and where those of each cell end.

    The cursor is moved where a cell does not follow the one before, and colours are told where they change.
    """
    count = len(lines)
    chars = grid.chars[lines, columns]
    step = np.where(
        np.append(grid.chars[lines[:-1], np.minimum(columns[:-1] + 1, grid.chars.shape[1] - 1)] == 0, False)[
            : count - 1
        ],
        2,
        1,
    )
    follows = np.zeros(count, bool)
    follows[1:] = (lines[1:] == lines[:-1]) & (columns[1:] == columns[:-1] + step)
    parts: list[NDArray[np.uint8]] = [_moves(lines, columns, follows)]
    if colors != "none":
        parts.append(_color_bytes(grid.front[lines, columns], grid.back[lines, columns], chars, colors))
    parts.append(_char_bytes(chars, utf8))
    matrix = np.concatenate(parts, axis=1)
    present = matrix != 0
    ends = np.cumsum(present.sum(axis=1))
    return matrix[present].tobytes(), ends


def _moves(lines: NDArray[np.intp], columns: NDArray[np.intp], follows: NDArray[np.bool_]) -> NDArray[np.uint8]:
    out = np.zeros((len(lines), 12), np.uint8)
    out[:, 0], out[:, 1], out[:, 6], out[:, 11] = 0x1B, 0x5B, 0x3B, 0x48
    out[:, 2:6], out[:, 7:11] = _decimal(lines + 1), _decimal(columns + 1)
    out[follows] = 0
    return out


def _decimal(values: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Four digits without leading zeros (as zero bytes)."""
    digits = np.stack([values // 1000, values // 100 % 10, values // 10 % 10, values % 10], axis=1)
    shown = np.cumsum(digits, axis=1) > 0
    return np.where(shown, digits + 0x30, 0).astype(np.uint8)


def _color_bytes(
    front: NDArray[np.uint8], back: NDArray[np.uint8], chars: NDArray[np.uint32], colors: str
) -> NDArray[np.uint8]:
    codes = [_short(sgr(part[None], colors, back=is_back)[0]) for part, is_back in ((front, False), (back, True))]
    new = []
    for code in codes:
        differs = np.ones(len(code), bool)
        differs[1:] = (code[1:] != code[:-1]).any(axis=1)
        new.append(differs)
    for code, differs in zip(codes, new, strict=True):
        code[~differs] = 0
    some, both = new[0] | new[1], new[0] & new[1]
    one = np.ones(len(front), np.uint8)
    columns = [np.where(some, one * 0x1B, 0), np.where(some, one * 0x5B, 0)]
    lead = np.stack(columns, axis=1).astype(np.uint8)
    between = np.where(both, 0x3B, 0).astype(np.uint8)[:, None]
    end = np.where(some, 0x6D, 0).astype(np.uint8)[:, None]
    return np.concatenate([lead, codes[0], between, codes[1], end], axis=1)


def _short(codes: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Parameters of SGR without leading zeros of their numbers (as zero bytes)."""
    out = codes.copy()
    width = out.shape[1]
    starts = {16: (5, 9, 13), 8: (5,), 3: (0,)}.get(width, ())
    for start in starts:
        first = out[:, start] == 0x30
        second = first & (out[:, start + 1] == 0x30)
        out[first, start] = 0
        out[second, start + 1] = 0
    return out


def _char_bytes(chars: NDArray[np.uint32], utf8: bool) -> NDArray[np.uint8]:
    used = np.unique(chars)
    texts = [_char(int(code), utf8) for code in used]
    width = max(map(len, texts))
    table = np.array([list(text.ljust(width, b"\0")) for text in texts], np.uint8)
    return table[np.searchsorted(used, chars)]


def _char(code: int, utf8: bool) -> bytes:
    return chr(code).encode("utf-8" if utf8 else "ascii", "replace")


def text_block(screen: CellGrid, lines: Sequence[str], line: int = 0, column: int = 0) -> None:
    """Lines of words below each other."""
    for n, text in enumerate(lines):
        put_text(screen, line + n, column, text)
