"""Weighted sums of windows' outputs, kept until no window is to come, and then handed on as finished blocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gpukit.ai.inference.lazy_logits import LateWindow
from gpukit.ai.inference.window_order import Cell, Schedule

if TYPE_CHECKING:
    import torch

__all__ = ["LARGEST", "Block", "Sums"]

#: Numbers (float32) of a block, where one plane of it has no more: 8 MB.
LARGEST = 2 << 20


@dataclass(frozen=True)
class Block:
    """A box of finished voxels.

    Parameters
    ----------
    start : tuple of int
        Its first voxel in the image that was given.
    sums : tensor, ``[classes, x, y, z]``
        Weighted sums of logits. Valid until the next block is asked for.
    weights : tensor or None, ``[x, y, z]``
        Sums of weights; 0 where every window was skipped. None where the sums are plain logits of one window.
    """

    start: tuple[int, int, int]
    sums: torch.Tensor
    weights: torch.Tensor | None

    @property
    def stop(self) -> tuple[int, int, int]:
        """The voxel behind its last, along each axis."""
        a, b, c = (begin + int(side) for begin, side in zip(self.start, self.sums.shape[1:], strict=True))
        return a, b, c

    @property
    def box(self) -> tuple[slice, slice, slice]:
        """Where it is in the image."""
        a, b, c = (slice(begin, end) for begin, end in zip(self.start, self.stop, strict=True))
        return a, b, c


class Sums:
    """Keeps the sums of the cells that windows to come will add to.

    Parameters
    ----------
    plan : Schedule
        Of the windows.
    weight : tensor, ``[x, y, z]``
        Of each voxel of a window, float32, above 0.
    channels : int
        Of the windows' outputs.
    """

    def __init__(self, plan: Schedule, weight: torch.Tensor, channels: int) -> None:
        self._plan, self._weight = plan, weight
        # One more channel than there are classes: the sum of the weights.
        self._layers = channels + 1
        self._memory = weight.new_empty(self._layers * plan.room)
        self._begun: set[int] = set()

    def add(self, window: int, output: torch.Tensor | LateWindow | None) -> Iterator[tuple[Cell, torch.Tensor | None]]:
        """Add a window's output ``[channels, x, y, z]``, None where it was skipped, by its number in the plan.

        Yields the cells that no later window has voxels in, with their sums ``[channels + 1, x, y, z]``, of which the
        last are those of the weights; None where all windows were skipped. They are valid until the next is asked for.
        """
        lasting = []
        # First what is finished, so that its memory can be used for what begins.
        for cell in self._plan.cells(window):
            if cell.last > window:
                lasting.append(cell)
                continue
            if output is not None:
                self._add(cell, window, output)
            alone = cell.first == cell.last
            known = output is not None if alone else cell.place in self._begun
            yield cell, self._room(cell) if known else None
            if not alone:
                self._begun.discard(cell.place)
        if output is not None:
            for cell in lasting:
                self._add(cell, window, output)

    def _room(self, cell: Cell) -> torch.Tensor:
        a, b, c = cell.shape
        begin = self._layers * cell.place
        return self._memory[begin : begin + self._layers * a * b * c].view(self._layers, a, b, c)

    def _add(self, cell: Cell, window: int, output: torch.Tensor | LateWindow) -> None:
        """Add what of a window's weighted output is in the cell."""
        import torch

        corner = self._plan.corners[window]
        low = [max(at, begin) for at, begin in zip(cell.start, corner, strict=True)]
        high = [min(at, begin + side) for at, begin, side in zip(cell.stop, corner, self._plan.patch, strict=True)]
        part = tuple(slice(a - at, b - at) for a, b, at in zip(low, high, corner, strict=True))
        room, values, weight = self._room(cell), output[(slice(None), *part)], self._weight[part]
        whole = tuple(low) == cell.start and tuple(high) == cell.stop
        # where a cell of one window alone is put, there was another before, so it never counts as begun
        begun = cell.first < cell.last and cell.place in self._begun
        if not begun and whole:
            torch.mul(values, weight, out=room[:-1])
            room[-1].copy_(weight)
        else:
            if not begun:
                room.zero_()
            inner = tuple(slice(a - at, b - at) for a, b, at in zip(low, high, cell.start, strict=True))
            within = room[(slice(None), *inner)]
            # not addcmul_, which rounds once where MONAI rounds twice: labels differ where two classes are so close
            within[:-1].add_(values * weight)
            within[-1].add_(weight)
        if cell.first < cell.last:
            self._begun.add(cell.place)
